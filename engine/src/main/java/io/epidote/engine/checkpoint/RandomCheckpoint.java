package io.epidote.engine.checkpoint;

import static java.nio.file.StandardOpenOption.CREATE_NEW;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.ShortBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.zip.CRC32C;

/**
 * Writes checkpoints of a {@link ModelShape} with random bf16 weights: their answers mean nothing,
 * their speed and memory are those of the real model.
 */
public final class RandomCheckpoint {
  private static final long SEED = 135;

  /** Standard deviation of a weight. */
  private static final double SPREAD = 0.02;

  private final Map<String, long[]> tensors = new LinkedHashMap<>();

  RandomCheckpoint() {}

  /** The folder of a shape's checkpoint under {@code root}, written first when it is not there. */
  public static Path folder(Path root, ModelShape shape) {
    return write(root, shape.word(), shape.config(), RandomTokenizer.PREPROCESSING);
  }

  /**
   * The same of any model of a form that shapes have.
   *
   * @param name of the folder, which a digest of the two files follows
   * @param config content of {@code config.json}
   * @param preprocessing content of {@code preprocessor_config.json}
   */
  public static Path folder(Path root, String name, String config, String preprocessing) {
    CRC32C digest = new CRC32C();
    digest.update((config + preprocessing).getBytes(StandardCharsets.UTF_8));
    return write(root, "%s-%08x".formatted(name, digest.getValue()), config, preprocessing);
  }

  private static Path write(Path root, String name, String config, String preprocessing) {
    Path folder = root.resolve(name);
    try {
      if (Files.isDirectory(folder)) {
        RandomTokenizer.writeIfMissing(folder, preprocessing);
        return folder;
      }
      Files.createDirectories(root);
      Path draft = Files.createTempDirectory(root, "draft-");
      Files.writeString(draft.resolve("config.json"), config);
      RandomCheckpoint checkpoint = new RandomCheckpoint();
      checkpoint.list(ConfigReader.read(draft));
      checkpoint.write(draft.resolve("model.safetensors"), random(SEED));
      RandomTokenizer.writeIfMissing(draft, preprocessing);
      Files.move(draft, folder, StandardCopyOption.ATOMIC_MOVE);
      return folder;
    } catch (IOException e) {
      throw new UncheckedIOException("The weights of " + name + " cannot be written", e);
    }
  }

  private void list(ModelConfig model) {
    TextConfig text = model.text();
    model.vision().ifPresent(vision -> listVision(model, vision));
    String prefix = model.vision().isPresent() ? "model.text_model." : "model.";
    int hidden = text.hiddenSize();
    add(prefix + "embed_tokens.weight", text.vocabulary(), hidden);
    add(prefix + "norm.weight", hidden);
    for (int layer = 0; layer < text.layers(); layer++) {
      String name = prefix + "layers." + layer + ".";
      add(name + "input_layernorm.weight", hidden);
      add(name + "post_attention_layernorm.weight", hidden);
      add(name + "self_attn.q_proj.weight", text.heads() * text.headDim(), hidden);
      add(name + "self_attn.k_proj.weight", text.kvHeads() * text.headDim(), hidden);
      add(name + "self_attn.v_proj.weight", text.kvHeads() * text.headDim(), hidden);
      add(name + "self_attn.o_proj.weight", hidden, text.heads() * text.headDim());
      if (text.moe().isEmpty()) {
        add(name + "mlp.gate_proj.weight", text.intermediateSize(), hidden);
        add(name + "mlp.up_proj.weight", text.intermediateSize(), hidden);
        add(name + "mlp.down_proj.weight", hidden, text.intermediateSize());
        continue;
      }
      MoeConfig moe = text.moe().get();
      add(name + "block_sparse_moe.gate.weight", moe.experts(), hidden);
      for (int e = 0; e < moe.experts(); e++) {
        addExpert(name, text, moe, e);
      }
    }
  }

  /**
   * An expert of Mixtral's form.
   *
   * @param layer the layer's module, for example {@code model.layers.0.}
   */
  void addExpert(String layer, TextConfig text, MoeConfig moe, int number) {
    String expert = layer + "block_sparse_moe.experts." + number + ".";
    add(expert + "w1.weight", moe.expertIntermediateSize(), text.hiddenSize());
    add(expert + "w3.weight", moe.expertIntermediateSize(), text.hiddenSize());
    add(expert + "w2.weight", text.hiddenSize(), moe.expertIntermediateSize());
  }

  private void listVision(ModelConfig model, VisionConfig vision) {
    String tower = "model.vision_model.";
    int hidden = vision.hiddenSize();
    int patch = vision.patchSize();
    add(tower + "embeddings.patch_embedding.weight", hidden, 3, patch, patch);
    add(tower + "embeddings.patch_embedding.bias", hidden);
    add(tower + "embeddings.position_embedding.weight", vision.positions(), hidden);
    addWithBias(tower + "post_layernorm", hidden);
    for (int layer = 0; layer < vision.layers(); layer++) {
      String name = tower + "encoder.layers." + layer + ".";
      addWithBias(name + "layer_norm1", hidden);
      addWithBias(name + "layer_norm2", hidden);
      for (String projection : List.of("q_proj", "k_proj", "v_proj", "out_proj")) {
        addWithBias(name + "self_attn." + projection, hidden, hidden);
      }
      addWithBias(name + "mlp.fc1", vision.intermediateSize(), hidden);
      addWithBias(name + "mlp.fc2", hidden, vision.intermediateSize());
    }
    add(
        "model.connector.modality_projection.proj.weight",
        model.text().hiddenSize(),
        (long) hidden * vision.positions() / vision.mediaTokens());
  }

  private void addWithBias(String module, long... shape) {
    add(module + ".weight", shape);
    add(module + ".bias", shape[0]);
  }

  private void add(String name, long... shape) {
    tensors.put(name, shape);
  }

  /** Gives a tensor its bf16 values. */
  @FunctionalInterface
  interface Filling {
    void fill(String tensor, long[] shape, ShortBuffer values);
  }

  /** Random values, the same for the same seed and tensors; norms' about 1. */
  static Filling random(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    return (tensor, _, values) -> fill(values, tensor.contains("norm.weight") ? 1 : 0, random);
  }

  /** Writes what was added. */
  void write(Path file, Filling filling) throws IOException {
    Map<String, Object> header = new LinkedHashMap<>();
    long end = 0;
    for (Map.Entry<String, long[]> tensor : tensors.entrySet()) {
      long bytes = elements(tensor.getValue()) * Short.BYTES;
      header.put(
          tensor.getKey(),
          Map.of(
              "dtype",
              "BF16",
              "shape",
              tensor.getValue(),
              "data_offsets",
              List.of(end, end + bytes)));
      end += bytes;
    }
    byte[] json = new ObjectMapper().writeValueAsString(header).getBytes(StandardCharsets.UTF_8);
    try (FileChannel channel = FileChannel.open(file, CREATE_NEW, READ, WRITE)) {
      ByteBuffer start =
          ByteBuffer.allocate(Long.BYTES + json.length).order(ByteOrder.LITTLE_ENDIAN);
      start.putLong(json.length).put(json).flip();
      channel.write(start, 0);
      long at = Long.BYTES + json.length;
      for (Map.Entry<String, long[]> tensor : tensors.entrySet()) {
        long elements = elements(tensor.getValue());
        ShortBuffer values =
            channel
                .map(MapMode.READ_WRITE, at, elements * Short.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .asShortBuffer();
        filling.fill(tensor.getKey(), tensor.getValue(), values);
        at += elements * Short.BYTES;
      }
    }
  }

  /** Nearly normal: the sum of four uniform 16-bit numbers. */
  private static void fill(ShortBuffer values, float mean, SplittableRandom random) {
    double unit = SPREAD / (65536 * Math.sqrt(4 / 12.0));
    for (int i = 0; i < values.limit(); i++) {
      long bits = random.nextLong();
      long sum = (bits & 0xFFFF) + (bits >>> 16 & 0xFFFF) + (bits >>> 32 & 0xFFFF) + (bits >>> 48);
      values.put(i, bf16(mean + (float) ((sum - 2 * 65535) * unit)));
    }
  }

  /** Without rounding. */
  static short bf16(float value) {
    return (short) (Float.floatToRawIntBits(value) >>> 16);
  }

  private static long elements(long[] shape) {
    return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
  }
}
