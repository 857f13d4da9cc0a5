package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.ALL;
import static io.epidote.engine.kernel.Memory.FLOATS;
import static io.epidote.engine.kernel.Memory.LANES;
import static io.epidote.engine.kernel.Memory.ORDER;
import static io.epidote.engine.kernel.Memory.load;
import static io.epidote.engine.kernel.Memory.store;

import jdk.incubator.vector.FloatVector;

/** What happens to one row between the linear layers of a vision tower. */
final class TowerRows {
  private static final long F = Float.BYTES;

  /** 0.3275911 / sqrt(2) */
  private static final float ERF_STEP = 0.231641888f;

  /** exp(-y * y / 2) is 2 to this times the square. */
  private static final float HALF_LOG2_E = -0.721347520f;

  private TowerRows() {}

  /** {@code sum = x + (delta + bias)} */
  static void add(long x, long delta, long bias, int width, long sum) {
    int i = 0;
    for (; i + LANES <= width; i += LANES) {
      store(load(x + i * F).add(load(delta + i * F).add(load(bias + i * F))), sum + i * F);
    }
    for (; i < width; i++) {
      Memory.put(
          sum + i * F,
          Memory.get(x + i * F) + (Memory.get(delta + i * F) + Memory.get(bias + i * F)));
    }
  }

  /** {@code normed = (x - mean(x)) / sqrt(variance(x) + epsilon) * weight + bias} */
  static void norm(long x, long weight, long bias, float epsilon, int width, long normed) {
    float mean = sum(x, width) / width;
    float inverse = (float) (1 / Math.sqrt(squares(x, mean, width) / width + epsilon));
    int i = 0;
    for (; i + LANES <= width; i += LANES) {
      FloatVector centred = load(x + i * F).sub(mean).mul(inverse);
      store(centred.fma(load(weight + i * F), load(bias + i * F)), normed + i * F);
    }
    for (; i < width; i++) {
      float centred = (Memory.get(x + i * F) - mean) * inverse;
      Memory.put(
          normed + i * F, Math.fma(centred, Memory.get(weight + i * F), Memory.get(bias + i * F)));
    }
  }

  private static float sum(long x, int width) {
    FloatVector sums = FloatVector.zero(FLOATS);
    int end = width / LANES * LANES;
    for (int i = 0; i < end; i += LANES) {
      sums = load(x + i * F).add(sums);
    }
    float total = Memory.sum(sums);
    for (int i = end; i < width; i++) {
      total += Memory.get(x + i * F);
    }
    return total;
  }

  private static float squares(long x, float mean, int width) {
    FloatVector squares = FloatVector.zero(FLOATS);
    int end = width / LANES * LANES;
    for (int i = 0; i < end; i += LANES) {
      FloatVector centred = load(x + i * F).sub(mean);
      squares = centred.fma(centred, squares);
    }
    float total = Memory.sum(squares);
    for (int i = end; i < width; i++) {
      float centred = Memory.get(x + i * F) - mean;
      total = Math.fma(centred, centred, total);
    }
    return total;
  }

  /**
   * {@code y * sigmoid(y * (slope + cube * y * y))} of {@code y = x + bias}: SiLU, and both
   * approximations of GELU. {@code tanh(z)} is {@code 2 * sigmoid(2 * z) - 1}.
   *
   * @param width at least a vector's: a last one that is not whole overlaps the one before, because
   *     a compiler looks only into so much, and two copies of this would be more
   */
  static void gate(long x, long bias, float slope, float cube, int width, long result) {
    int last = width - LANES;
    for (int i = 0; i < width; i += LANES) {
      long at = Math.min(i, last) * F;
      FloatVector y = load(x + at).add(load(bias + at));
      FloatVector steepness =
          y.mul(y).fma(FloatVector.broadcast(FLOATS, -cube), FloatVector.broadcast(FLOATS, -slope));
      y.div(Exponential.of(y.mul(steepness)).add(1f)).intoMemorySegment(ALL, result + at, ORDER);
    }
  }

  /**
   * {@code y / 2 * (1 + erf(y / sqrt(2)))} of {@code y = x + bias}, with the error function of
   * Abramowitz and Stegun, 7.1.26, which is at most 1.5e-7 off.
   *
   * @param width as for {@link #gate}
   */
  static void gelu(long x, long bias, int width, long result) {
    int last = width - LANES;
    for (int i = 0; i < width; i += LANES) {
      long at = Math.min(i, last) * F;
      FloatVector y = load(x + at).add(load(bias + at));
      FloatVector magnitude = y.abs();
      FloatVector t = FloatVector.broadcast(FLOATS, 1f).div(magnitude.mul(ERF_STEP).add(1f));
      // Halves of the coefficients: half of what erf leaves to 1.
      FloatVector sum = FloatVector.broadcast(FLOATS, 0.5307027145f);
      sum = sum.fma(t, FloatVector.broadcast(FLOATS, -0.7265760135f));
      sum = sum.fma(t, FloatVector.broadcast(FLOATS, 0.7107068705f));
      sum = sum.fma(t, FloatVector.broadcast(FLOATS, -0.142248368f));
      sum = sum.fma(t, FloatVector.broadcast(FLOATS, 0.127414796f));
      FloatVector rest = sum.mul(t).mul(Exponential.ofTwo(y.mul(y).mul(HALF_LOG2_E)));
      // Above 0 all of y but the rest, below it the rest.
      y.add(magnitude)
          .mul(0.5f)
          .sub(magnitude.mul(rest))
          .intoMemorySegment(ALL, result + at, ORDER);
    }
  }

  /** {@code max(x + bias, 0)} */
  static void relu(long x, long bias, int width, long result) {
    int end = width / LANES * LANES;
    for (int i = 0; i < end; i += LANES) {
      FloatVector y = load(x + i * F).add(load(bias + i * F));
      // Java's maximum, which tells -0 from 0, is many instructions.
      store(y.add(y.abs()).mul(0.5f), result + i * F);
    }
    for (int i = end; i < width; i++) {
      Memory.put(result + i * F, Math.max(Memory.get(x + i * F) + Memory.get(bias + i * F), 0));
    }
  }
}
