package io.epidote.engine.model;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.Family;
import io.epidote.engine.checkpoint.MoeConfig;
import io.epidote.engine.checkpoint.TextConfig;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.IntStream;

/**
 * The decoder once more, token by token in double precision and straight from the checkpoint's own
 * layout: slow, without batches, blocks or caches, and sharing nothing with the graph.
 */
final class NaiveDecoder {
  private final Checkpoint checkpoint;
  private final TextConfig config;
  private final String prefix;
  private final Map<String, float[]> tensors = new HashMap<>();

  NaiveDecoder(Checkpoint checkpoint) {
    this.checkpoint = checkpoint;
    this.config = checkpoint.config().text();
    String embeddings = named("embed_tokens.weight");
    this.prefix = embeddings.substring(0, embeddings.indexOf("embed_tokens"));
  }

  /** The whole name of the only tensor that ends so. */
  private String named(String end) {
    return checkpoint.tensorNames().stream()
        .filter(name -> name.endsWith(end))
        .findFirst()
        .orElseThrow();
  }

  /**
   * Logits after every token, {@code [tokens][vocabulary]}.
   *
   * @param media rows that replace the embeddings of tokens, by token index
   */
  double[][] logits(int[] ids, Map<Integer, float[]> media) {
    int hidden = config.hiddenSize();
    float[] table = tensor(prefix + "embed_tokens.weight", config.vocabulary(), hidden);
    double[][] x = new double[ids.length][hidden];
    for (int t = 0; t < ids.length; t++) {
      for (int i = 0; i < hidden; i++) {
        x[t][i] = media.containsKey(t) ? media.get(t)[i] : table[ids[t] * hidden + i];
      }
    }
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = prefix + "layers." + layer + ".";
      int window = config.windows().get(layer);
      double[][] read = norm(x, name + "input_layernorm.weight");
      add(
          x,
          config
              .latent()
              .map(latent ->
                  new NaiveLatentAttention(this, config, latent).attend(name + "self_attn.", read))
              .orElseGet(() -> attention(name, window, read)));
      double[][] normed = norm(x, name + "post_attention_layernorm.weight");
      for (int t = 0; t < x.length; t++) {
        add(
            x[t],
            config.experts(layer).isPresent()
                ? experts(name, config.experts(layer).get(), normed[t])
                : dense(name + "mlp.", config.intermediateSize(), normed[t]));
      }
    }
    String head = named(config.tiedEmbeddings() ? "embed_tokens.weight" : "lm_head.weight");
    double[][] last = norm(x, prefix + "norm.weight");
    return Arrays.stream(last)
        .map(row -> linear(head, row, config.vocabulary()))
        .toArray(double[][]::new);
  }

  private double[][] attention(String name, int window, double[][] x) {
    int dim = config.headDim();
    int group = config.heads() / config.kvHeads();
    double[][] q = project(name + "self_attn.q_proj", x, config.heads() * dim);
    double[][] k = project(name + "self_attn.k_proj", x, config.kvHeads() * dim);
    double[][] v = project(name + "self_attn.v_proj", x, config.kvHeads() * dim);
    rotate(q);
    rotate(k);
    double[][] result = new double[x.length][];
    for (int t = 0; t < x.length; t++) {
      double[] context = new double[config.heads() * dim];
      for (int head = 0; head < config.heads(); head++) {
        int from = head / group * dim;
        double[] scores = new double[t + 1];
        for (int s = 0; s <= t; s++) {
          if (t - s >= window) {
            scores[s] = Double.NEGATIVE_INFINITY;
            continue;
          }
          for (int i = 0; i < dim; i++) {
            scores[s] += q[t][head * dim + i] * k[s][from + i] / Math.sqrt(dim);
          }
        }
        softmax(scores);
        for (int s = 0; s <= t; s++) {
          for (int i = 0; i < dim; i++) {
            context[head * dim + i] += scores[s] * v[s][from + i];
          }
        }
      }
      result[t] = linear(name + "self_attn.o_proj.weight", context, config.hiddenSize());
      if (config.attentionBiases().output()) {
        float[] bias = tensor(name + "self_attn.o_proj.bias", config.hiddenSize());
        double[] row = result[t];
        Arrays.setAll(row, i -> row[i] + bias[i]);
      }
    }
    return result;
  }

  private double[][] project(String module, double[][] x, int out) {
    double[][] result =
        Arrays.stream(x).map(row -> linear(module + ".weight", row, out)).toArray(double[][]::new);
    if (config.attentionBiases().inputs()) {
      float[] bias = tensor(module + ".bias", out);
      for (double[] row : result) {
        Arrays.setAll(row, i -> row[i] + bias[i]);
      }
    }
    return result;
  }

  private void rotate(double[][] x) {
    int dim = config.headDim();
    for (int t = 0; t < x.length; t++) {
      for (int head = 0; head < x[t].length; head += dim) {
        for (int i = 0; i < dim / 2; i++) {
          double angle = t / Math.pow(config.rope().theta(), 2.0 * i / dim);
          double a = x[t][head + i];
          double b = x[t][head + i + dim / 2];
          x[t][head + i] = a * Math.cos(angle) - b * Math.sin(angle);
          x[t][head + i + dim / 2] = b * Math.cos(angle) + a * Math.sin(angle);
        }
      }
    }
  }

  private double[] experts(String layer, MoeConfig moe, double[] x) {
    boolean mixtral = config.family() == Family.MIXTRAL;
    String module = layer + (mixtral ? "block_sparse_moe." : "mlp.");
    double[] gates = linear(module + "gate.weight", x, moe.experts());
    softmax(gates);
    int[] best =
        IntStream.range(0, gates.length)
            .boxed()
            .sorted(Comparator.comparingDouble(e -> -gates[e]))
            .limit(moe.expertsPerToken())
            .mapToInt(e -> e)
            .toArray();
    double sum = moe.normalizeTopK() ? Arrays.stream(best).mapToDouble(e -> gates[e]).sum() : 1;
    double[] result = new double[x.length];
    for (int e : best) {
      String expert = module + "experts." + e + ".";
      double[] y =
          mixtral
              ? swiglu(
                  expert + "w1.weight",
                  expert + "w3.weight",
                  expert + "w2.weight",
                  moe.expertIntermediateSize(),
                  x)
              : dense(expert, moe.expertIntermediateSize(), x);
      for (int i = 0; i < y.length; i++) {
        result[i] += moe.gateScale() * gates[e] / sum * y[i];
      }
    }
    if (config.family() == Family.DEEPSEEK_V2) {
      if (moe.sharedExpertIntermediateSize() > 0) {
        add(result, dense(module + "shared_experts.", moe.sharedExpertIntermediateSize(), x));
      }
    } else if (moe.sharedExpertIntermediateSize() > 0) {
      double open = 1 / (1 + Math.exp(-linear(module + "shared_expert_gate.weight", x, 1)[0]));
      double[] shared = dense(module + "shared_expert.", moe.sharedExpertIntermediateSize(), x);
      Arrays.setAll(result, i -> result[i] + open * shared[i]);
    }
    return result;
  }

  private double[] dense(String module, int intermediate, double[] x) {
    return swiglu(
        module + "gate_proj.weight",
        module + "up_proj.weight",
        module + "down_proj.weight",
        intermediate,
        x);
  }

  private double[] swiglu(String gate, String up, String down, int intermediate, double[] x) {
    double[] a = linear(gate, x, intermediate);
    double[] b = linear(up, x, intermediate);
    Arrays.setAll(a, i -> a[i] / (1 + Math.exp(-a[i])) * b[i]);
    return linear(down, a, x.length);
  }

  double[] linear(String name, double[] x, int out) {
    float[] weight = tensor(name, out, x.length);
    double[] y = new double[out];
    for (int o = 0; o < out; o++) {
      for (int i = 0; i < x.length; i++) {
        y[o] += (double) weight[o * x.length + i] * x[i];
      }
    }
    return y;
  }

  private double[][] norm(double[][] x, String name) {
    return norm(x, name, config.rmsNormEps());
  }

  double[][] norm(double[][] x, String name, double epsilon) {
    float[] weight = tensor(name, x[0].length);
    double[][] result = new double[x.length][];
    for (int t = 0; t < x.length; t++) {
      double[] row = x[t];
      double scale =
          1 / Math.sqrt(Arrays.stream(row).map(v -> v * v).average().orElseThrow() + epsilon);
      result[t] =
          IntStream.range(0, row.length).mapToDouble(i -> row[i] * scale * weight[i]).toArray();
    }
    return result;
  }

  static void softmax(double[] scores) {
    double max = Arrays.stream(scores).max().orElseThrow();
    Arrays.setAll(scores, i -> Math.exp(scores[i] - max));
    double sum = Arrays.stream(scores).sum();
    Arrays.setAll(scores, i -> scores[i] / sum);
  }

  private static void add(double[][] x, double[][] y) {
    for (int t = 0; t < x.length; t++) {
      add(x[t], y[t]);
    }
  }

  private static void add(double[] x, double[] y) {
    Arrays.setAll(x, i -> x[i] + y[i]);
  }

  private float[] tensor(String name, long... shape) {
    return tensors.computeIfAbsent(
        name,
        key -> {
          FloatBuffer values =
              FloatBuffer.allocate((int) Arrays.stream(shape).reduce(1, (a, b) -> a * b));
          checkpoint.readFloats(key, values, shape);
          return values.array();
        });
  }
}
