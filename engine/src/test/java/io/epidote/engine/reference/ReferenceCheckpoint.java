package io.epidote.engine.reference;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.SafetensorsWriter;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.LongStream;

/**
 * Writes a {@link ReferenceModel}'s folder.
 *
 * <p>One {@link SplittableRandom} is drawn from tensor by tensor in the order of the file, row by
 * row: a value is {@code mean + spread * sqrt(12) * (nextDouble() - 0.5)}. Spreads are such that
 * every layer changes the answer a lot and that the most likely token is clearly so.
 */
final class ReferenceCheckpoint {
  private final ObjectNode config;
  private final SplittableRandom random;
  private final Map<String, Tensor> tensors = new LinkedHashMap<>();
  private final int hidden;

  /**
   * @param config of the text model
   */
  ReferenceCheckpoint(ObjectNode config, long seed) {
    this.config = config;
    this.random = new SplittableRandom(seed);
    this.hidden = size("hidden_size");
  }

  /** Writes every folder under the one that is named: what another implementation reads. */
  public static void main(String[] arguments) {
    Path folder = Path.of(arguments[0]);
    for (ReferenceModel model : ReferenceModel.values()) {
      write(model, folder.resolve(model.word()));
    }
    for (VisionReferenceModel model : VisionReferenceModel.values()) {
      VisionReferenceCheckpoint.write(model, folder.resolve(model.word()));
    }
  }

  static Path write(ReferenceModel model, Path folder) {
    ReferenceCheckpoint checkpoint = new ReferenceCheckpoint(model.config(), model.seed());
    checkpoint.drawText("model.", "lm_head");
    CheckpointFixture.writeJson(folder.resolve("config.json"), checkpoint.config);
    SafetensorsWriter.write(folder.resolve("model.safetensors"), checkpoint.tensors, model.dtype());
    return folder;
  }

  /** What was drawn. */
  Map<String, Tensor> tensors() {
    return tensors;
  }

  /** Draws the text model. */
  void drawText(String prefix, String head) {
    add(prefix + "embed_tokens.weight", 0, 1, ReferenceModel.VOCABULARY, hidden);
    for (int layer = 0; layer < size("num_hidden_layers"); layer++) {
      String name = prefix + "layers." + layer + ".";
      norm(name + "input_layernorm.weight", hidden);
      attention(name + "self_attn.");
      norm(name + "post_attention_layernorm.weight", hidden);
      switch (type()) {
        case "mixtral" -> {
          linear(name + "block_sparse_moe.gate", 2, size("num_local_experts"), hidden);
          for (int e = 0; e < size("num_local_experts"); e++) {
            String expert = name + "block_sparse_moe.experts." + e + ".";
            swiGlu(expert, List.of("w1", "w3", "w2"), size("intermediate_size"));
          }
        }
        case "qwen2_moe" -> {
          linear(name + "mlp.gate", 2, size("num_experts"), hidden);
          for (int e = 0; e < size("num_experts"); e++) {
            swiGlu(name + "mlp.experts." + e + ".", size("moe_intermediate_size"));
          }
          swiGlu(name + "mlp.shared_expert.", size("shared_expert_intermediate_size"));
          linear(name + "mlp.shared_expert_gate", 1, 1, hidden);
        }
        default -> swiGlu(name + "mlp.", size("intermediate_size"));
      }
    }
    norm(prefix + "norm.weight", hidden);
    linear(head, 4, ReferenceModel.VOCABULARY, hidden);
  }

  private void attention(String module) {
    int queries = hidden;
    int keys = hidden / size("num_attention_heads") * size("num_key_value_heads");
    linear(module + "q_proj", 1.5, queries, hidden);
    linear(module + "k_proj", 1.5, keys, hidden);
    linear(module + "v_proj", 1.5, keys, hidden);
    linear(module + "o_proj", 1.5, hidden, queries);
    boolean biases = config.path("attention_bias").booleanValue();
    if (biases) {
      add(module + "o_proj.bias", 0, 0.5, hidden);
    }
    if (biases || type().startsWith("qwen2")) {
      add(module + "q_proj.bias", 0, 0.5, queries);
      add(module + "k_proj.bias", 0, 0.5, keys);
      add(module + "v_proj.bias", 0, 0.5, keys);
    }
  }

  private void swiGlu(String module, int intermediate) {
    swiGlu(module, List.of("gate_proj", "up_proj", "down_proj"), intermediate);
  }

  /** Gate, up and down. */
  private void swiGlu(String module, List<String> names, int intermediate) {
    linear(module + names.get(0), 1.5, intermediate, hidden);
    linear(module + names.get(1), 1.5, intermediate, hidden);
    linear(module + names.get(2), 1.5, hidden, intermediate);
  }

  /** A norm's weight, around 1. */
  void norm(String name, int size) {
    add(name, 1, 0.1, size);
  }

  /** A matrix that makes rows of spread {@code gain} of rows of spread 1. */
  void linear(String module, double gain, int out, int in) {
    add(module + ".weight", 0, gain / Math.sqrt(in), out, in);
  }

  /** Random values. */
  void add(String name, double mean, double spread, int... shape) {
    List<Long> sizes =
        LongStream.range(0, shape.length).mapToObj(i -> (long) shape[(int) i]).toList();
    float[] values = new float[Math.toIntExact(sizes.stream().reduce(1L, (a, b) -> a * b))];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (mean + spread * Math.sqrt(12) * (random.nextDouble() - 0.5));
    }
    tensors.put(name, new Tensor(sizes, values));
  }

  private String type() {
    return config.get("model_type").textValue();
  }

  private int size(String key) {
    return config.get(key).intValue();
  }
}
