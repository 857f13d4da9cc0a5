package io.epidote.trainer;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;
import ai.djl.ndarray.types.SparseFormat;
import ai.djl.nn.Activation;
import ai.djl.nn.convolutional.Conv2d;
import ai.djl.nn.core.Embedding;
import ai.djl.nn.core.Linear;
import ai.djl.nn.norm.BatchNorm;
import ai.djl.nn.norm.LayerNorm;
import java.util.List;
import java.util.Map;

/**
 * The forward pass in PyTorch, as functions of the parameters: few large operations, because each
 * one costs 5 to 20 µs on top of its arithmetic. Every array belongs to the manager of its inputs;
 * the caller closes that.
 */
final class SceneNet {
  private final ModelConfig config;
  private final Map<String, NDArray> p;
  private final RoutingListener listener;

  /** Told where the tokens of a forward pass go. */
  interface RoutingListener {
    /**
     * One layer's routing.
     *
     * @param layer index
     * @param experts [tokens * k], k of a token behind one another
     * @param gates their weights, the same form
     */
    void routed(int layer, long[] experts, NDArray gates);
  }

  /**
   * A forward pass over these parameters.
   *
   * @param config sizes
   * @param parameters by the names of {@link Parameters}; for the stem either {@code gamma} and
   *     {@code beta} (then give statistics) or a folded {@code bias}
   */
  SceneNet(ModelConfig config, Map<String, NDArray> parameters) {
    this(config, parameters, (layer, experts, gates) -> {});
  }

  /** A forward pass that tells where tokens are routed. */
  SceneNet(ModelConfig config, Map<String, NDArray> parameters, RoutingListener listener) {
    this.config = config;
    this.p = parameters;
    this.listener = listener;
  }

  /**
   * The vision tower.
   *
   * @param tiles [n, 3, 64, 64]
   * @param statistics running mean and variance per convolution, alternating; empty when folded
   * @param training whether batch normalization uses and updates the batch's statistics
   * @return [n, 64, hidden]
   */
  NDArray tower(NDArray tiles, List<NDArray> statistics, boolean training) {
    NDArray x = tiles;
    int layers = config.stem().size();
    for (int i = 0; i < layers; i++) {
      int stride = config.stem().get(i).stride();
      String name = "stem." + i + ".";
      x =
          Conv2d.conv2d(
                  x,
                  p(name + "weight"),
                  statistics.isEmpty() ? p(name + "bias") : null,
                  new Shape(stride, stride),
                  new Shape(1, 1),
                  new Shape(1, 1))
              .singletonOrThrow();
      if (!statistics.isEmpty()) {
        x =
            BatchNorm.batchNorm(
                    x,
                    statistics.get(2 * i),
                    statistics.get(2 * i + 1),
                    p(name + "gamma"),
                    p(name + "beta"),
                    1,
                    0.1f,
                    ModelConfig.BATCH_NORM_EPS,
                    training)
                .singletonOrThrow();
      }
      if (i < layers - 1) {
        x = Activation.relu(x);
      }
    }
    long n = tiles.getShape().get(0);
    int positions = ModelConfig.GRID * ModelConfig.GRID;
    x = x.transpose(0, 2, 3, 1).reshape(n, positions, config.hidden()).add(p("vision.position"));
    for (int l = 0; l < config.visionLayers(); l++) {
      String name = "vision." + l + ".";
      NDArray qkv =
          linear(layerNorm(x, name + "norm1"), name + "qkv")
              .reshape(
                  n, positions, 3, config.visionHeads(), config.hidden() / config.visionHeads())
              .transpose(2, 0, 3, 1, 4);
      NDArray q = qkv.get(0);
      NDArray k = qkv.get(1).transpose(0, 1, 3, 2);
      NDArray v = qkv.get(2);
      double scale = 1 / Math.sqrt(config.hidden() / (double) config.visionHeads());
      NDArray weights = scaled(q, scale).matMul(k).softmax(-1);
      NDArray attended =
          weights.matMul(v).transpose(0, 2, 1, 3).reshape(n, positions, config.hidden());
      x = x.add(linear(attended, name + "out"));
      NDArray mlp = linear(gelu(linear(layerNorm(x, name + "norm2"), name + "fc1")), name + "fc2");
      x = x.add(mlp);
    }
    return layerNorm(x, "vision.post");
  }

  /** Logits [n, 64, {@link Labels#CLASSES}] of what stands at each position. */
  NDArray auxiliary(NDArray features) {
    return linear(features, "aux");
  }

  /** Pixel shuffle and projection: [n, 64, hidden] to the media tokens [n * 16, hidden]. */
  NDArray connector(NDArray features) {
    long n = features.getShape().get(0);
    int grid = ModelConfig.GRID;
    int s = ModelConfig.SHUFFLE;
    int d = config.hidden();
    return features
        .reshape(n, grid, grid / s, (long) d * s)
        .transpose(0, 2, 1, 3)
        .reshape(n, grid / s, grid / s, (long) d * s * s)
        .transpose(0, 2, 1, 3)
        .reshape(n * ModelConfig.TILE_TOKENS, (long) d * s * s)
        .matMul(p("connector").transpose());
  }

  /**
   * What the decoder gives back.
   *
   * @param logits [selected, vocabulary]
   * @param balance the load-balance term: 1 when every expert of every layer has the same share
   */
  record Decoded(NDArray logits, NDArray balance) {}

  /**
   * The decoder.
   *
   * @param media media tokens [m, hidden]
   * @param ids [rows, length]; an id of vocabulary + i stands for media token i
   * @param cos [rows, length, 1, headDim / 2]
   * @param sin the same form
   * @param mask [rows, 1, length, length], added to the scores
   * @param selected [selected] indices into rows * length: where logits are wanted
   */
  Decoded decode(
      NDArray media, NDArray ids, NDArray cos, NDArray sin, NDArray mask, NDArray selected) {
    long rows = ids.getShape().get(0);
    long length = ids.getShape().get(1);
    int h = config.hidden();
    int d = config.headDim();
    int kv = config.kvHeads();
    int group = config.heads() / kv;
    NDArray embed = p("text.embed");
    NDArray x = lookup(embed.concat(media, 0), ids).reshape(rows * length, h);
    NDList shares = new NDList();
    for (int l = 0; l < config.textLayers(); l++) {
      String name = "text." + l + ".";
      NDList qkv =
          rmsNorm(x, name + "norm1")
              .matMul(p(name + "qkv").transpose())
              .reshape(rows, length, config.heads() + 2L * kv, d)
              .split(new long[] {config.heads() + kv}, 2);
      NDList halves = qkv.get(0).split(2, 3);
      NDArray a = halves.get(0);
      NDArray b = halves.get(1);
      NDList qk =
          NDArrays.concat(new NDList(a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin))), 3)
              .split(new long[] {config.heads()}, 2);
      NDArray q =
          scaled(qk.get(0), 1 / Math.sqrt(d))
              .reshape(rows, length, kv, group, d)
              .transpose(0, 2, 3, 1, 4)
              .reshape(rows, kv, group * length, d);
      NDArray k = qk.get(1).transpose(0, 2, 3, 1);
      NDArray v = qkv.get(1).transpose(0, 2, 1, 3);
      NDArray scores = q.matMul(k).reshape(rows, config.heads(), length, length).add(mask);
      NDArray attended =
          scores
              .softmax(-1)
              .reshape(rows, kv, group * length, length)
              .matMul(v)
              .reshape(rows, kv, group, length, d)
              .transpose(0, 3, 1, 2, 4)
              .reshape(rows * length, (long) config.heads() * d);
      x = x.add(attended.matMul(p(name + "out").transpose()));

      NDArray y = rmsNorm(x, name + "norm2");
      Mixture mixture = mixture(y, l, name);
      x = x.add(mixture.output());
      shares.add(mixture.balance());
    }
    NDArray wanted = rmsNorm(lookup(x, selected), "text.norm");
    return new Decoded(wanted.matMul(embed.transpose()), NDArrays.stack(shares).sum());
  }

  /** The experts' output [tokens, hidden] of one layer, and its load-balance term. */
  private record Mixture(NDArray output, NDArray balance) {}

  /**
   * The mixture of experts: softmax over all, top-k, renormalised. Tokens are sorted by expert, so
   * that every expert is three plain products over its own tokens: a quarter of the arithmetic of
   * computing all experts for all tokens.
   */
  private Mixture mixture(NDArray y, int layer, String name) {
    int tokens = Math.toIntExact(y.getShape().get(0));
    int k = config.expertsPerToken();
    int experts = config.experts();
    NDArray routed = y.matMul(p(name + "gate").transpose()).softmax(1);
    NDArray chosen = routed.stopGradient().topK(k, 1, true, true).get(1);
    NDArray gates = routed.gather(chosen, 1);
    gates = gates.div(gates.sum(new int[] {1}, true));

    long[] expertOf = chosen.toLongArray();
    listener.routed(layer, expertOf, gates);
    int[] counts = new int[experts];
    for (long expert : expertOf) {
      counts[(int) expert]++;
    }
    int[] next = new int[experts];
    for (int e = 1; e < experts; e++) {
      next[e] = next[e - 1] + counts[e - 1];
    }
    long[] tokenAt = new long[tokens * k];
    long[] slotOf = new long[tokens * k];
    for (int i = 0; i < expertOf.length; i++) {
      int slot = next[(int) expertOf[i]]++;
      tokenAt[slot] = i / k;
      slotOf[i] = slot;
    }

    NDManager manager = y.getManager();
    NDArray sorted = lookup(y, manager.create(tokenAt));
    NDList one = experts(name + "w1");
    NDList three = experts(name + "w3");
    NDList two = experts(name + "w2");
    NDList outputs = new NDList();
    float[] load = new float[experts];
    int at = 0;
    for (int e = 0; e < experts; e++) {
      load[e] = counts[e] * (float) experts / (tokens * k * config.textLayers());
      if (counts[e] > 0) {
        NDArray own = sorted.get(new NDIndex().addSliceDim(at, at + counts[e]));
        NDArray gate = own.matMul(one.get(e).transpose());
        NDArray up = own.matMul(three.get(e).transpose());
        outputs.add(gate.mul(Activation.sigmoid(gate)).mul(up).matMul(two.get(e)));
        at += counts[e];
      }
    }
    NDArray output =
        lookup(NDArrays.concat(outputs, 0), manager.create(slotOf))
            .reshape(tokens, k, config.hidden())
            .mul(gates.expandDims(2))
            .sum(new int[] {1});
    NDArray balance = routed.mean(new int[] {0}).mul(manager.create(load)).sum();
    return new Mixture(output, balance);
  }

  /** One array per expert; the parameters have them stacked or, for an adapter, one by one. */
  private NDList experts(String name) {
    if (p.containsKey(name)) {
      return p(name).split(config.experts(), 0);
    }
    NDList list = new NDList();
    for (int e = 0; e < config.experts(); e++) {
      list.add(p(name + "." + e));
    }
    return list;
  }

  private NDArray p(String name) {
    NDArray array = p.get(name);
    if (array == null) {
      throw new IllegalStateException("no parameter " + name + "; there are " + p.keySet());
    }
    return array;
  }

  private static NDArray lookup(NDArray table, NDArray ids) {
    return Embedding.embedding(ids, table, SparseFormat.DENSE).singletonOrThrow();
  }

  private NDArray linear(NDArray x, String name) {
    return Linear.linear(x, p(name + ".weight"), p(name + ".bias")).singletonOrThrow();
  }

  private NDArray layerNorm(NDArray x, String name) {
    return LayerNorm.layerNorm(
            x,
            new Shape(config.hidden()),
            p(name + ".weight"),
            p(name + ".bias"),
            ModelConfig.LAYER_NORM_EPS)
        .singletonOrThrow();
  }

  private NDArray rmsNorm(NDArray x, String name) {
    NDArray scale = x.mul(x).mean(new int[] {1}, true).add(ModelConfig.RMS_EPS).sqrt();
    return x.div(scale).mul(p(name));
  }

  /** GELU in its tanh form. */
  private static NDArray gelu(NDArray x) {
    NDArray inner = scaled(scaled(x.mul(x), 0.044715).add(1f).mul(x), Math.sqrt(2 / Math.PI));
    return scaled(Activation.tanh(inner).add(1f).mul(x), 0.5);
  }

  /**
   * The product with a constant that lives as long as the step. {@code NDArray.mul(Number)} frees
   * its constant at once, but the backward pass still reads it: about one gradient in thirty was
   * then garbage.
   */
  static NDArray scaled(NDArray x, double factor) {
    return x.mul(x.getManager().create((float) factor));
  }
}
