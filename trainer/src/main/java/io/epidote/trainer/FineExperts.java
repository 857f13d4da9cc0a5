package io.epidote.trainer;

import io.epidote.trainer.Safetensors.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

/**
 * Makes many narrow experts of few wide ones, as fine-grained mixtures have (DeepSeekMoE, arXiv
 * 2401.06066): a SwiGLU expert is a sum over its intermediate values, so it is the sum of experts
 * that have a part of these each. With as many times more chosen for a token, which has the same
 * arithmetic, the model answers as before as long as the parts of an expert are chosen together.
 * Their gates are then moved apart at random, so that training makes something of its own of each.
 * What that costs is learned again in the stage that follows.
 *
 * <p>Adapters need it: with two experts to a token, one of whose eight an adapter has, most tokens
 * of a layer meet none of the adapter's; with eight of 32 nearly all do.
 */
final class FineExperts {
  /** What the model that ships was made with. */
  static final double APART = 0.5;

  private static final long SEED = 13;

  private FineExperts() {}

  /**
   * The parameters with {@code parts} experts for each.
   *
   * @param coarse sizes of what is given
   * @param parameters stacked, by the names of {@link Parameters}; what is not an expert's is kept
   * @param apart deviation of the noise on gates, relative to what tells a layer's rows apart
   */
  static Map<String, Tensor> split(
      ModelConfig coarse, Map<String, Tensor> parameters, int parts, double apart) {
    Map<String, Tensor> out = new LinkedHashMap<>(parameters);
    Random random = new Random(SEED);
    for (int layer = 0; layer < coarse.textLayers(); layer++) {
      String gate = "text." + layer + ".gate";
      out.put(gate, gates(Checkpoint.get(parameters, gate), parts, apart, random));
      // A token's weights are divided among the parts, which the last matrix makes up for. The
      // rows of the others are in the parts' order as they are.
      String last = "text." + layer + ".w2";
      Tensor wide = Checkpoint.get(parameters, last);
      float[] data = wide.data().clone();
      for (int i = 0; i < data.length; i++) {
        data[i] *= parts;
      }
      out.put(last, new Tensor(wide.shape(), data));
    }
    return out;
  }

  private static Tensor gates(Tensor rows, int parts, double apart, Random random) {
    int count = Math.toIntExact(rows.shape()[0]);
    int width = Math.toIntExact(rows.shape()[1]);
    double[] mean = new double[width];
    for (int i = 0; i < rows.data().length; i++) {
      mean[i % width] += rows.data()[i] / count;
    }
    double square = 0;
    for (int i = 0; i < rows.data().length; i++) {
      square += Math.pow(rows.data()[i] - mean[i % width], 2) / rows.data().length;
    }
    double deviation = apart * Math.sqrt(square);
    float[] data = new float[rows.data().length * parts];
    for (int row = 0; row < count; row++) {
      float[] one = Arrays.copyOfRange(rows.data(), row * width, (row + 1) * width);
      for (int part = 0; part < parts; part++) {
        for (int i = 0; i < width; i++) {
          data[(row * parts + part) * width + i] =
              (float) (one[i] + deviation * random.nextGaussian());
        }
      }
    }
    return new Tensor(new long[] {(long) count * parts, width}, data);
  }
}
