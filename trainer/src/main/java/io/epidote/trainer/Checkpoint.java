package io.epidote.trainer;

import io.epidote.trainer.Safetensors.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Renames parameters between the stacked form of {@link Parameters} and the tensors of the Hugging
 * Face form. Batch normalization is folded into the convolutions on the way out.
 */
final class Checkpoint {
  private static final String VISION = "model.vision_model.";
  private static final String TEXT = "model.text_model.";
  private final ModelConfig config;

  Checkpoint(ModelConfig config) {
    this.config = config;
  }

  /**
   * The tensors to ship.
   *
   * @param p trained parameters
   * @param statistics running mean and variance per convolution, alternating
   */
  Map<String, Tensor> export(Map<String, Tensor> p, List<float[]> statistics) {
    Map<String, Tensor> out = new LinkedHashMap<>();
    for (int i = 0; i < config.stem().size(); i++) {
      ModelConfig.Conv conv = config.stem().get(i);
      float[] weight = data(p, "stem." + i + ".weight").clone();
      float[] bias = new float[conv.out()];
      float[] gamma = data(p, "stem." + i + ".gamma");
      float[] beta = data(p, "stem." + i + ".beta");
      float[] mean = statistics.get(2 * i);
      float[] variance = statistics.get(2 * i + 1);
      int fan = conv.in() * 9;
      for (int o = 0; o < conv.out(); o++) {
        double factor = gamma[o] / Math.sqrt(variance[o] + ModelConfig.BATCH_NORM_EPS);
        for (int j = o * fan; j < (o + 1) * fan; j++) {
          weight[j] = (float) (weight[j] * factor);
        }
        bias[o] = (float) (beta[o] - mean[o] * factor);
      }
      String name = VISION + "embeddings.conv_stem." + i;
      out.put(name + ".weight", new Tensor(get(p, "stem." + i + ".weight").shape(), weight));
      out.put(name + ".bias", vector(bias));
    }
    out.put(VISION + "embeddings.position_embedding.weight", get(p, "vision.position"));
    int h = config.hidden();
    for (int l = 0; l < config.visionLayers(); l++) {
      String from = "vision." + l + ".";
      String to = VISION + "encoder.layers." + l + ".";
      copy(p, from + "norm1", out, to + "layer_norm1");
      List<String> parts = List.of("q_proj", "k_proj", "v_proj");
      for (int i = 0; i < 3; i++) {
        String name = to + "self_attn." + parts.get(i);
        out.put(name + ".weight", rows(get(p, from + "qkv.weight"), i * h, h));
        out.put(name + ".bias", rows(get(p, from + "qkv.bias"), i * h, h));
      }
      copy(p, from + "out", out, to + "self_attn.out_proj");
      copy(p, from + "norm2", out, to + "layer_norm2");
      copy(p, from + "fc1", out, to + "mlp.fc1");
      copy(p, from + "fc2", out, to + "mlp.fc2");
    }
    copy(p, "vision.post", out, VISION + "post_layernorm");
    out.put("model.connector.modality_projection.proj.weight", get(p, "connector"));
    out.put(TEXT + "embed_tokens.weight", get(p, "text.embed"));
    int q = config.heads() * config.headDim();
    int kv = config.kvHeads() * config.headDim();
    int f = config.expertIntermediate();
    for (int l = 0; l < config.textLayers(); l++) {
      String from = "text." + l + ".";
      String to = TEXT + "layers." + l + ".";
      out.put(to + "input_layernorm.weight", get(p, from + "norm1"));
      Tensor qkv = get(p, from + "qkv");
      out.put(to + "self_attn.q_proj.weight", rows(qkv, 0, q));
      out.put(to + "self_attn.k_proj.weight", rows(qkv, q, kv));
      out.put(to + "self_attn.v_proj.weight", rows(qkv, q + kv, kv));
      out.put(to + "self_attn.o_proj.weight", get(p, from + "out"));
      out.put(to + "post_attention_layernorm.weight", get(p, from + "norm2"));
      out.put(to + "block_sparse_moe.gate.weight", get(p, from + "gate"));
      for (int e = 0; e < config.experts(); e++) {
        String expert = to + "block_sparse_moe.experts." + e + ".";
        out.put(expert + "w1.weight", rows(get(p, from + "w1"), e * f, f));
        out.put(expert + "w2.weight", transposed(rows(get(p, from + "w2"), e * f, f)));
        out.put(expert + "w3.weight", rows(get(p, from + "w3"), e * f, f));
      }
    }
    out.put(TEXT + "norm.weight", get(p, "text.norm"));
    return out;
  }

  /** The stacked parameters, the stem with its folded biases, of shipped tensors. */
  Map<String, Tensor> load(Map<String, Tensor> t) {
    Map<String, Tensor> out = new LinkedHashMap<>();
    for (int i = 0; i < config.stem().size(); i++) {
      copy(t, VISION + "embeddings.conv_stem." + i, out, "stem." + i);
    }
    out.put("vision.position", get(t, VISION + "embeddings.position_embedding.weight"));
    for (int l = 0; l < config.visionLayers(); l++) {
      String to = "vision." + l + ".";
      String from = VISION + "encoder.layers." + l + ".";
      copy(t, from + "layer_norm1", out, to + "norm1");
      for (String part : List.of(".weight", ".bias")) {
        String a = from + "self_attn.";
        out.put(
            to + "qkv" + part,
            stack(
                List.of(
                    get(t, a + "q_proj" + part),
                    get(t, a + "k_proj" + part),
                    get(t, a + "v_proj" + part))));
      }
      copy(t, from + "self_attn.out_proj", out, to + "out");
      copy(t, from + "layer_norm2", out, to + "norm2");
      copy(t, from + "mlp.fc1", out, to + "fc1");
      copy(t, from + "mlp.fc2", out, to + "fc2");
    }
    copy(t, VISION + "post_layernorm", out, "vision.post");
    out.put("connector", get(t, "model.connector.modality_projection.proj.weight"));
    out.put("text.embed", get(t, TEXT + "embed_tokens.weight"));
    for (int l = 0; l < config.textLayers(); l++) {
      String to = "text." + l + ".";
      String from = TEXT + "layers." + l + ".";
      out.put(to + "norm1", get(t, from + "input_layernorm.weight"));
      String a = from + "self_attn.";
      out.put(
          to + "qkv",
          stack(
              List.of(
                  get(t, a + "q_proj.weight"),
                  get(t, a + "k_proj.weight"),
                  get(t, a + "v_proj.weight"))));
      out.put(to + "out", get(t, a + "o_proj.weight"));
      out.put(to + "norm2", get(t, from + "post_attention_layernorm.weight"));
      out.put(to + "gate", get(t, from + "block_sparse_moe.gate.weight"));
      String expert = from + "block_sparse_moe.experts.";
      out.put(to + "w1", stack(experts(t, expert, ".w1.weight")));
      out.put(to + "w3", stack(experts(t, expert, ".w3.weight")));
      out.put(
          to + "w2",
          stack(experts(t, expert, ".w2.weight").stream().map(Checkpoint::transposed).toList()));
    }
    out.put("text.norm", get(t, TEXT + "norm.weight"));
    return out;
  }

  /** Names of the tensors of one expert. */
  static List<String> expertTensors(int layer, int expert) {
    String name = TEXT + "layers." + layer + ".block_sparse_moe.experts." + expert + ".";
    return List.of(name + "w1.weight", name + "w2.weight", name + "w3.weight");
  }

  /** Single experts, by names as {@code text.0.w1.5}, as the tensors to ship. */
  Map<String, Tensor> exportExperts(Map<String, Tensor> experts) {
    Map<String, Tensor> out = new TreeMap<>();
    experts.forEach((name, tensor) -> {
      String[] parts = name.split("\\.");
      String to = TEXT + "layers." + parts[1] + ".block_sparse_moe.experts." + parts[3] + ".";
      out.put(to + parts[2] + ".weight", parts[2].equals("w2") ? transposed(tensor) : tensor);
    });
    return out;
  }

  private List<Tensor> experts(Map<String, Tensor> t, String prefix, String suffix) {
    return java.util.stream.IntStream.range(0, config.experts())
        .mapToObj(e -> get(t, prefix + e + suffix))
        .toList();
  }

  private static void copy(
      Map<String, Tensor> from, String name, Map<String, Tensor> to, String as) {
    to.put(as + ".weight", get(from, name + ".weight"));
    to.put(as + ".bias", get(from, name + ".bias"));
  }

  private static float[] data(Map<String, Tensor> tensors, String name) {
    return get(tensors, name).data();
  }

  /** A tensor that must be there. */
  static Tensor get(Map<String, Tensor> tensors, String name) {
    Tensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException("tensor " + name + " is missing");
    }
    return tensor;
  }

  private static Tensor vector(float[] data) {
    return new Tensor(new long[] {data.length}, data);
  }

  private static Tensor rows(Tensor tensor, int from, int count) {
    int width = Math.toIntExact(tensor.data().length / tensor.shape()[0]);
    long[] shape = tensor.shape().clone();
    shape[0] = count;
    return new Tensor(
        shape, Arrays.copyOfRange(tensor.data(), from * width, (from + count) * width));
  }

  private static Tensor stack(List<Tensor> tensors) {
    long[] shape = tensors.getFirst().shape().clone();
    shape[0] = tensors.stream().mapToLong(t -> t.shape()[0]).sum();
    float[] data = new float[tensors.stream().mapToInt(t -> t.data().length).sum()];
    int at = 0;
    for (Tensor tensor : tensors) {
      System.arraycopy(tensor.data(), 0, data, at, tensor.data().length);
      at += tensor.data().length;
    }
    return new Tensor(shape, data);
  }

  private static Tensor transposed(Tensor tensor) {
    int rows = Math.toIntExact(tensor.shape()[0]);
    int columns = Math.toIntExact(tensor.shape()[1]);
    float[] out = new float[rows * columns];
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < columns; c++) {
        out[c * rows + r] = tensor.data()[r * columns + c];
      }
    }
    return new Tensor(new long[] {columns, rows}, out);
  }
}
