package io.epidote.engine.checkpoint;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.LongStream;
import org.jspecify.annotations.Nullable;

/**
 * A model folder of Hugging Face form, its weights mapped and never copied through the heap. Safe
 * for use by several threads; what {@link #tensor} returns is valid until {@link #close}.
 */
public final class Checkpoint implements TensorSource, AutoCloseable {
  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";

  private final Path folder;
  private final ModelConfig config;
  private final Arena arena;
  private final Map<String, SafetensorsFile> fileOfTensor;
  private final WeightDigests digests;
  private @Nullable String fingerprint;

  private Checkpoint(
      Path folder,
      ModelConfig config,
      Arena arena,
      Map<String, SafetensorsFile> fileOfTensor,
      WeightDigests digests) {
    this.folder = folder;
    this.config = config;
    this.arena = arena;
    this.fileOfTensor = fileOfTensor;
    this.digests = digests;
  }

  /**
   * Reads the config, then maps the weights and checks where they lie; not yet whether all are
   * there, because each stage needs only its own.
   *
   * @throws BadCheckpoint when a file is missing or malformed, or the model is of a form that
   *     Epidote does not support; unsupported forms are told before any weight is touched
   */
  public static Checkpoint open(Path folder) {
    return open(folder, new WeightDigests(null));
  }

  /**
   * Like {@link #open(Path)}, and remembers the weights' digests.
   *
   * @param cache folder of this machine's caches, made when it is not there; where it cannot be
   *     written, {@link #fingerprint} is as slow as without it
   */
  public static Checkpoint open(Path folder, Path cache) {
    return open(folder, new WeightDigests(cache.resolve("digests")));
  }

  @SuppressWarnings("MustBeClosedChecker") // close() closes the arena
  private static Checkpoint open(Path folder, WeightDigests digests) {
    Path absolute = folder.toAbsolutePath().normalize();
    if (!Files.isDirectory(absolute)) {
      throw new BadCheckpoint(
          "%s is not a folder; expected a model folder of Hugging Face form with config.json,"
                  .formatted(folder)
              + " tokenizer.json and *.safetensors");
    }
    ModelConfig config = ConfigReader.read(absolute);
    Arena arena = Arena.ofShared();
    try {
      return new Checkpoint(absolute, config, arena, openWeights(absolute, arena), digests);
    } catch (RuntimeException e) {
      arena.close();
      throw e;
    }
  }

  private static Map<String, SafetensorsFile> openWeights(Path folder, Arena arena) {
    Map<String, SafetensorsFile> fileOfTensor = new TreeMap<>();
    Path index = folder.resolve(INDEX);
    if (Files.exists(folder.resolve(SINGLE)) || !Files.exists(index)) {
      if (!Files.exists(folder.resolve(SINGLE))) {
        throw new BadCheckpoint(
            "%s has no weights; expected %s, or %s and its shards"
                .formatted(folder, SINGLE, INDEX));
      }
      SafetensorsFile file = SafetensorsFile.open(folder.resolve(SINGLE), arena);
      file.tensors().keySet().forEach(name -> fileOfTensor.put(name, file));
      return fileOfTensor;
    }
    ConfigFile weightMap =
        ConfigFile.read(index)
            .object("weight_map")
            .orElseThrow(
                () -> new BadCheckpoint(index + ": weight_map is missing, expected an object"));
    Map<String, SafetensorsFile> shards = new TreeMap<>();
    for (String tensor : weightMap.keys()) {
      String shardName = weightMap.text(tensor);
      Path shard = folder.resolve(shardName).normalize();
      // An index must not make the engine read files that are not the model's.
      if (!folder.equals(shard.getParent())) {
        throw weightMap.wrong(tensor, "the name of a file in the folder");
      }
      SafetensorsFile file =
          shards.computeIfAbsent(shardName, _ -> SafetensorsFile.open(shard, arena));
      if (!file.tensors().containsKey(tensor)) {
        throw new BadCheckpoint(
            "%s says that %s holds tensor %s, but it does not; copy the whole model folder"
                .formatted(INDEX, shard, tensor));
      }
      fileOfTensor.put(tensor, file);
    }
    return fileOfTensor;
  }

  /** The folder, absolute. */
  public Path folder() {
    return folder;
  }

  /** The folder's name, which is the model's. */
  public String name() {
    return folder.getFileName().toString();
  }

  public ModelConfig config() {
    return config;
  }

  /** The names of all tensors, sorted. */
  public Set<String> tensorNames() {
    return Collections.unmodifiableSet(fileOfTensor.keySet());
  }

  public boolean has(String tensor) {
    return fileOfTensor.containsKey(tensor);
  }

  /**
   * Where a tensor is and of what form.
   *
   * @throws BadCheckpoint when there is none of that name
   */
  public TensorInfo info(String tensor) {
    return requireNonNull(file(tensor).tensors().get(tensor));
  }

  /**
   * The bytes of a tensor in its own dtype, little-endian, row-major; mapped, read-only, and
   * perhaps not aligned to the element's width. Valid until this checkpoint is closed.
   *
   * @throws BadCheckpoint when the tensor is missing or of another shape
   */
  public MemorySegment tensor(String name, long... shape) {
    return file(name).slice(checked(name, shape));
  }

  @Override
  public void readFloats(String name, FloatBuffer destination, long... shape) {
    file(name).readFloats(checked(name, shape), destination);
  }

  /**
   * Hex SHA-256 of everything that decides what the model computes: config, preprocessing and
   * weights. Computed once, on the first call; takes about a second a gigabyte of weights whose
   * digests the cache does not hold.
   */
  public synchronized String fingerprint() {
    if (fingerprint == null) {
      fingerprint = digest();
    }
    return fingerprint;
  }

  private String digest() {
    MessageDigest digest = WeightDigests.sha256();
    try {
      for (String name : List.of("config.json", "preprocessor_config.json")) {
        Path file = folder.resolve(name);
        byte[] content = Files.exists(file) ? Files.readAllBytes(file) : new byte[0];
        begin(digest, name, content.length);
        digest.update(content);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    Map<String, SafetensorsFile> files = new TreeMap<>();
    fileOfTensor.values().forEach(file -> files.put(file.file().getFileName().toString(), file));
    Map<String, String> digestOfFile = new ConcurrentHashMap<>();
    files.entrySet().parallelStream()
        .forEach(entry -> digestOfFile.put(entry.getKey(), digests.of(entry.getValue())));
    files.forEach((name, file) -> {
      begin(digest, name, file.bytes().byteSize());
      digest.update(requireNonNull(digestOfFile.get(name)).getBytes(StandardCharsets.UTF_8));
    });
    return HexFormat.of().formatHex(digest.digest());
  }

  /** Frames each file by name and length, so that bytes cannot move between files unseen. */
  private static void begin(MessageDigest digest, String name, long bytes) {
    digest.update("%s %d\n".formatted(name, bytes).getBytes(StandardCharsets.UTF_8));
  }

  private SafetensorsFile file(String tensor) {
    SafetensorsFile file = fileOfTensor.get(tensor);
    if (file == null) {
      throw new BadCheckpoint(
          "tensor %s is missing from %s; expected in %s, which hold %d tensors"
              .formatted(tensor, folder, weightFiles(), fileOfTensor.size()));
    }
    return file;
  }

  /** The names of the safetensors files, sorted. */
  public List<String> weightFiles() {
    Set<String> names = new TreeSet<>();
    fileOfTensor.values().forEach(file -> names.add(file.file().getFileName().toString()));
    return new ArrayList<>(names);
  }

  private TensorInfo checked(String name, long... shape) {
    TensorInfo tensor = info(name);
    List<Long> expected = LongStream.of(shape).boxed().toList();
    if (!tensor.shape().equals(expected)) {
      throw new BadCheckpoint(
          "%s: tensor %s has shape %s, but config.json makes it %s"
              .formatted(tensor.file(), name, tensor.shape(), expected));
    }
    return tensor;
  }

  /** Unmaps the weights. Segments handed out before cannot be read afterwards. */
  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }
}
