package io.epidote.engine.checkpoint;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * An adapter's folder: {@code expert_cfg.json} with any number of safetensors files (ESFT), or
 * {@code adapter_config.json} with {@code adapter_model.safetensors} (PEFT's LoRA). Its weights are
 * mapped until it is closed. Whether it fits a base is not looked at here.
 */
public final class AdapterFolder implements TensorSource, AutoCloseable {
  private static final String LORA_WEIGHTS = "adapter_model.safetensors";

  private final Path folder;
  private final AdapterConfig config;
  private final Arena arena;
  private final Map<String, SafetensorsFile> fileOfTensor;
  private final String digest;

  private AdapterFolder(
      Path folder,
      AdapterConfig config,
      Arena arena,
      Map<String, SafetensorsFile> fileOfTensor,
      String digest) {
    this.folder = folder;
    this.config = config;
    this.arena = arena;
    this.fileOfTensor = fileOfTensor;
    this.digest = digest;
  }

  /**
   * Reads the config and maps the weights.
   *
   * @throws BadCheckpoint when a file is missing or malformed, or the adapter is of a form that is
   *     not supported
   */
  public static AdapterFolder open(Path folder) {
    return open(folder, new WeightDigests(null));
  }

  /**
   * Like {@link #open(Path)}, and remembers the weights' digests.
   *
   * @param cache folder of this machine's caches
   */
  public static AdapterFolder open(Path folder, Path cache) {
    return open(folder, new WeightDigests(cache.resolve("digests")));
  }

  @SuppressWarnings("MustBeClosedChecker") // close() closes the arena
  private static AdapterFolder open(Path folder, WeightDigests digests) {
    Path absolute = folder.toAbsolutePath().normalize();
    Path esft = absolute.resolve(AdapterConfig.ESFT_FILE);
    Path lora = absolute.resolve(AdapterConfig.LORA_FILE);
    if (Files.exists(esft) == Files.exists(lora)) {
      throw new BadCheckpoint(
          "%s has %s; an adapter's folder has %s with safetensors of experts (ESFT), or %s with %s (PEFT's LoRA)"
              .formatted(
                  folder,
                  Files.exists(esft)
                      ? "both configs"
                      : Files.isDirectory(absolute) ? "no adapter's config" : "not been found",
                  AdapterConfig.ESFT_FILE,
                  AdapterConfig.LORA_FILE,
                  LORA_WEIGHTS));
    }
    Path file = Files.exists(esft) ? esft : lora;
    ConfigFile json = ConfigFile.readStrict(file);
    AdapterConfig config =
        file.equals(esft) ? AdapterConfig.Esft.read(json) : AdapterConfig.Lora.read(json);
    Arena arena = Arena.ofShared();
    try {
      Map<String, SafetensorsFile> fileOfTensor = new TreeMap<>();
      MessageDigest digest = WeightDigests.sha256();
      digest.update(Files.readAllBytes(file));
      for (Path path : weightFiles(absolute, config)) {
        SafetensorsFile weights = SafetensorsFile.open(path, arena);
        for (String name : weights.tensors().keySet()) {
          SafetensorsFile other = fileOfTensor.put(name, weights);
          if (other != null) {
            throw new BadCheckpoint(
                "%s: tensor %s is also in %s; an adapter has each once"
                    .formatted(path, name, other.file().getFileName()));
          }
        }
        digest.update(("\n" + digests.of(weights)).getBytes(StandardCharsets.UTF_8));
      }
      String hex = HexFormat.of().formatHex(digest.digest());
      return new AdapterFolder(absolute, config, arena, fileOfTensor, hex);
    } catch (IOException e) {
      arena.close();
      throw new BadCheckpoint("%s cannot be read: %s".formatted(folder, e), e);
    } catch (RuntimeException e) {
      arena.close();
      throw e;
    }
  }

  private static List<Path> weightFiles(Path folder, AdapterConfig config) throws IOException {
    if (config instanceof AdapterConfig.Lora) {
      return List.of(folder.resolve(LORA_WEIGHTS));
    }
    try (Stream<Path> files = Files.list(folder)) {
      List<Path> found =
          files.filter(file -> file.toString().endsWith(".safetensors")).sorted().toList();
      if (found.isEmpty()) {
        throw new BadCheckpoint(
            "%s has no weights; expected safetensors of the experts that %s names"
                .formatted(folder, AdapterConfig.ESFT_FILE));
      }
      return found;
    }
  }

  public Path folder() {
    return folder;
  }

  public AdapterConfig config() {
    return config;
  }

  /** Hex SHA-256 of config and weights. */
  public String digest() {
    return digest;
  }

  /** The names of all tensors, sorted. */
  public Set<String> tensorNames() {
    return Collections.unmodifiableSet(fileOfTensor.keySet());
  }

  /**
   * Checks a tensor that is to be read later.
   *
   * @throws BadCheckpoint when it is missing, of another shape or not of floats
   */
  public void check(String name, long... shape) {
    TensorInfo tensor = info(name);
    List<Long> expected = LongStream.of(shape).boxed().toList();
    if (!tensor.shape().equals(expected)) {
      throw new BadCheckpoint(
          "%s: tensor %s has shape %s, but the base makes it %s"
              .formatted(tensor.file(), name, tensor.shape(), expected));
    }
    if (!tensor.dtype().isReadable()) {
      throw SafetensorsFile.notFloats(tensor);
    }
  }

  private TensorInfo info(String name) {
    SafetensorsFile file = fileOfTensor.get(name);
    if (file == null) {
      throw new BadCheckpoint(
          "tensor %s is missing from %s, which has %d tensors"
              .formatted(name, folder, fileOfTensor.size()));
    }
    return requireNonNull(file.tensors().get(name));
  }

  @Override
  public void readFloats(String name, FloatBuffer destination, long... shape) {
    check(name, shape);
    int from = destination.position();
    requireNonNull(fileOfTensor.get(name)).readFloats(info(name), destination);
    for (int i = from; i < destination.position(); i++) {
      if (!Float.isFinite(destination.get(i))) {
        throw new BadCheckpoint(
            "%s: tensor %s has the value %s; copy the adapter again"
                .formatted(folder, name, destination.get(i)));
      }
    }
  }

  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
