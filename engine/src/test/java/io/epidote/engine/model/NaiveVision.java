package io.epidote.engine.model;

import io.epidote.engine.checkpoint.Activation;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.Connector;
import io.epidote.engine.checkpoint.ConvLayer;
import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.checkpoint.VisionTower;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The tower and the connector once more, in double precision, position by position. */
final class NaiveVision {
  private final Checkpoint checkpoint;
  private final VisionConfig config;
  private final String tower;
  private final String connector;
  private final Map<String, float[]> tensors = new HashMap<>();

  NaiveVision(Checkpoint checkpoint) {
    this.checkpoint = checkpoint;
    this.config = checkpoint.config().vision().orElseThrow();
    Set<String> names = checkpoint.tensorNames();
    this.tower = prefix(names, "embeddings.position_embedding.weight");
    this.connector =
        prefix(
            names, config.connector() instanceof Connector.Mlp ? "linear_1.weight" : "proj.weight");
  }

  private static String prefix(Set<String> names, String end) {
    String name =
        names.stream()
            .filter(key -> key.endsWith(end) && !key.contains("_proj."))
            .findFirst()
            .orElseThrow();
    return name.substring(0, name.length() - end.length());
  }

  /** Media tokens of one tile, {@code [tileTokens * hidden]}. */
  double[] mediaTokens(float[] pixels) {
    int hidden = config.hiddenSize();
    double[][][] map = planes(pixels);
    if (config.convStem().isEmpty()) {
      map =
          convolve(
              map,
              tower + "embeddings.patch_embedding",
              hidden,
              config.patchSize(),
              config.patchSize(),
              0);
    } else {
      List<ConvLayer> stem = config.convStem();
      for (int i = 0; i < stem.size(); i++) {
        ConvLayer layer = stem.get(i);
        map =
            convolve(
                map,
                tower + "embeddings.conv_stem." + i,
                layer.outChannels(),
                layer.kernelSize(),
                layer.stride(),
                layer.kernelSize() / 2);
        if (i + 1 < stem.size()) {
          for (double[][] plane : map) {
            for (double[] row : plane) {
              Arrays.setAll(row, j -> Math.max(0, row[j]));
            }
          }
        }
      }
    }
    int grid = config.grid();
    int first = config.positions() - grid * grid;
    float[] places =
        tensor(tower + "embeddings.position_embedding.weight", config.positions(), hidden);
    double[][] x = new double[config.positions()][hidden];
    for (int p = 0; p < x.length; p++) {
      for (int i = 0; i < hidden; i++) {
        double patch =
            p < first
                ? tensor(tower + "embeddings.class_embedding", hidden)[i]
                : map[i][(p - first) / grid][(p - first) % grid];
        x[p][i] = patch + places[p * hidden + i];
      }
    }
    if (config.tower() == VisionTower.CLIP) {
      x = norm(x, tower + "pre_layrnorm");
    }
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = tower + "encoder.layers." + layer + ".";
      add(x, attention(name + "self_attn.", norm(x, name + "layer_norm1")));
      double[][] inner =
          linear(norm(x, name + "layer_norm2"), name + "mlp.fc1", config.intermediateSize());
      activate(inner, config.activation());
      add(x, linear(inner, name + "mlp.fc2", hidden));
    }
    if (config.postNorm()) {
      x = norm(x, tower + "post_layernorm");
    }
    return switch (config.connector()) {
      case Connector.PixelShuffle(int scale) -> shuffle(x, scale);
      case Connector.Mlp mlp -> project(x, mlp);
    };
  }

  private static void activate(double[][] rows, Activation activation) {
    for (double[] row : rows) {
      Arrays.setAll(
          row,
          i ->
              switch (activation) {
                case GELU_TANH ->
                    0.5
                        * row[i]
                        * (1
                            + Math.tanh(
                                Math.sqrt(2 / Math.PI)
                                    * (row[i] + 0.044715 * Math.pow(row[i], 3))));
                case QUICK_GELU -> row[i] / (1 + Math.exp(-1.702 * row[i]));
                case GELU -> row[i] * normalDistribution(row[i]);
                case RELU -> Math.max(0, row[i]);
                case SILU -> row[i] / (1 + Math.exp(-row[i]));
              });
    }
  }

  /** By Simpson's rule from 0, where it is one half. */
  private static double normalDistribution(double x) {
    int steps = 200;
    double sum = 0;
    for (int i = 0; i <= steps; i++) {
      double at = x * i / steps;
      sum += (i == 0 || i == steps ? 1 : i % 2 == 0 ? 2 : 4) * Math.exp(-at * at / 2);
    }
    return 0.5 + sum * x / steps / 3 / Math.sqrt(2 * Math.PI);
  }

  private double[] project(double[][] x, Connector.Mlp mlp) {
    double[][] kept = mlp.dropsFirst() ? Arrays.copyOfRange(x, 1, x.length) : x;
    int out = checkpoint.config().text().hiddenSize();
    double[][] inner = linear(kept, connector + "linear_1", out, mlp.bias());
    activate(inner, mlp.activation());
    return Arrays.stream(linear(inner, connector + "linear_2", out, mlp.bias()))
        .flatMapToDouble(Arrays::stream)
        .toArray();
  }

  private double[] shuffle(double[][] x, int scale) {
    int grid = config.grid();
    int hidden = config.hiddenSize();
    int out = checkpoint.config().text().hiddenSize();
    int wide = hidden * scale * scale;
    float[] weight = tensor(connector + "proj.weight", out, wide);
    double[] result = new double[x.length / (scale * scale) * out];
    int token = 0;
    for (int row = 0; row < grid; row += scale) {
      for (int column = 0; column < grid; column += scale) {
        double[] joined = new double[wide];
        for (int r = 0; r < scale; r++) {
          for (int c = 0; c < scale; c++) {
            System.arraycopy(
                x[(row + r) * grid + column + c], 0, joined, (r * scale + c) * hidden, hidden);
          }
        }
        for (int o = 0; o < out; o++) {
          for (int i = 0; i < wide; i++) {
            result[token * out + o] += weight[o * wide + i] * joined[i];
          }
        }
        token++;
      }
    }
    return result;
  }

  private double[][][] planes(float[] pixels) {
    int size = config.imageSize();
    double[][][] planes = new double[3][size][size];
    for (int i = 0; i < pixels.length; i++) {
      planes[i / (size * size)][i / size % size][i % size] = pixels[i];
    }
    return planes;
  }

  private double[][][] convolve(
      double[][][] in, String name, int out, int kernel, int stride, int pad) {
    float[] weight = tensor(name + ".weight", out, in.length, kernel, kernel);
    float[] bias = checkpoint.has(name + ".bias") ? tensor(name + ".bias", out) : new float[out];
    int size = (in[0].length + 2 * pad - kernel) / stride + 1;
    double[][][] result = new double[out][size][size];
    for (int o = 0; o < out; o++) {
      for (int y = 0; y < size; y++) {
        for (int x = 0; x < size; x++) {
          double sum = bias[o];
          for (int c = 0; c < in.length; c++) {
            for (int dy = 0; dy < kernel; dy++) {
              for (int dx = 0; dx < kernel; dx++) {
                int sy = y * stride + dy - pad;
                int sx = x * stride + dx - pad;
                if (sy >= 0 && sy < in[c].length && sx >= 0 && sx < in[c].length) {
                  sum += weight[((o * in.length + c) * kernel + dy) * kernel + dx] * in[c][sy][sx];
                }
              }
            }
          }
          result[o][y][x] = sum;
        }
      }
    }
    return result;
  }

  private double[][] attention(String module, double[][] x) {
    int hidden = config.hiddenSize();
    int dim = hidden / config.heads();
    double[][] q = linear(x, module + "q_proj", hidden);
    double[][] k = linear(x, module + "k_proj", hidden);
    double[][] v = linear(x, module + "v_proj", hidden);
    double[][] context = new double[x.length][hidden];
    for (int head = 0; head < hidden; head += dim) {
      for (int t = 0; t < x.length; t++) {
        double[] scores = new double[x.length];
        for (int s = 0; s < x.length; s++) {
          for (int i = head; i < head + dim; i++) {
            scores[s] += q[t][i] * k[s][i] / Math.sqrt(dim);
          }
        }
        double max = Arrays.stream(scores).max().orElseThrow();
        double sum = Arrays.stream(scores).map(value -> Math.exp(value - max)).sum();
        for (int s = 0; s < x.length; s++) {
          for (int i = head; i < head + dim; i++) {
            context[t][i] += Math.exp(scores[s] - max) / sum * v[s][i];
          }
        }
      }
    }
    return linear(context, module + "out_proj", hidden);
  }

  private double[][] norm(double[][] x, String name) {
    float[] weight = tensor(name + ".weight", config.hiddenSize());
    float[] bias = tensor(name + ".bias", config.hiddenSize());
    double[][] result = new double[x.length][config.hiddenSize()];
    for (int t = 0; t < x.length; t++) {
      double[] row = x[t];
      double mean = Arrays.stream(row).average().orElseThrow();
      double variance =
          Arrays.stream(row).map(value -> (value - mean) * (value - mean)).average().orElseThrow();
      Arrays.setAll(
          result[t],
          i -> (row[i] - mean) / Math.sqrt(variance + config.layerNormEps()) * weight[i] + bias[i]);
    }
    return result;
  }

  private double[][] linear(double[][] x, String name, int out) {
    return linear(x, name, out, true);
  }

  private double[][] linear(double[][] x, String name, int out, boolean biased) {
    int in = x[0].length;
    float[] weight = tensor(name + ".weight", out, in);
    float[] bias = biased ? tensor(name + ".bias", out) : new float[out];
    double[][] result = new double[x.length][out];
    for (int t = 0; t < x.length; t++) {
      for (int o = 0; o < out; o++) {
        double sum = bias[o];
        for (int i = 0; i < in; i++) {
          sum += weight[o * in + i] * x[t][i];
        }
        result[t][o] = sum;
      }
    }
    return result;
  }

  private static void add(double[][] x, double[][] y) {
    for (int t = 0; t < x.length; t++) {
      double[] row = x[t];
      double[] other = y[t];
      Arrays.setAll(row, i -> row[i] + other[i]);
    }
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
