package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.ALL;
import static io.epidote.engine.kernel.Memory.FLOATS;
import static io.epidote.engine.kernel.Memory.LANES;
import static io.epidote.engine.kernel.Memory.ORDER;
import static io.epidote.engine.kernel.Memory.load;
import static io.epidote.engine.kernel.Memory.store;

import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/** What happens to one row of activations between linear layers. Widths are multiples of 8. */
final class Activations {
  private static final long F = Float.BYTES;

  /** The largest magnitude of a row becomes this. */
  static final int RANGE = 127;

  /** The byte of 0. */
  static final int ZERO = 128;

  /** 1.5 * 2^23 and the zero point: added, they leave the byte in the lowest bits. */
  private static final float TO_BYTE = 12582912f + ZERO;

  private Activations() {}

  /**
   * Makes a row into unsigned bytes around {@link #ZERO}.
   *
   * @param scale where the magnitude goes that {@link #RANGE} stands for
   */
  static void quantize(long row, int width, long bytes, long scale) {
    FloatVector largest = FloatVector.zero(FLOATS);
    for (int i = 0; i < width; i += LANES) {
      largest = largest.max(load(row + i * F).abs());
    }
    float magnitude = 0;
    for (int lane = 0; lane < LANES; lane++) {
      magnitude = Math.max(magnitude, largest.lane(lane));
    }
    Memory.put(scale, magnitude);
    float factor = magnitude == 0 ? 0 : RANGE / magnitude;
    FloatVector factors = FloatVector.broadcast(FLOATS, factor);
    FloatVector toByte = FloatVector.broadcast(FLOATS, TO_BYTE);
    if (LANES == ByteVector.SPECIES_64.length()) {
      for (int i = 0; i < width; i += LANES) {
        load(row + i * F)
            .fma(factors, toByte)
            .reinterpretAsInts()
            .convertShape(VectorOperators.I2B, ByteVector.SPECIES_64, 0)
            .intoMemorySegment(ALL, bytes + i, ORDER);
      }
    } else {
      for (int i = 0; i < width; i++) {
        float value = Math.fma(Memory.get(row + i * F), factor, TO_BYTE);
        ALL.set(ValueLayout.JAVA_BYTE, bytes + i, (byte) Float.floatToRawIntBits(value));
      }
    }
  }

  /**
   * {@code sum = x + delta * factor}; {@code normed = sum / rms(sum) * weight}.
   *
   * @param delta 0 when there is none
   */
  static void addAndNorm(
      long x,
      long delta,
      float factor,
      long weight,
      float epsilon,
      int width,
      long sum,
      long normed) {
    FloatVector squares = FloatVector.zero(FLOATS);
    for (int i = 0; i < width; i += LANES) {
      FloatVector value = load(x + i * F);
      if (delta != 0) {
        value = value.add(load(delta + i * F).mul(factor));
        store(value, sum + i * F);
      }
      squares = value.fma(value, squares);
    }
    float total = 0;
    for (int lane = 0; lane < LANES; lane++) {
      total += squares.lane(lane);
    }
    float inverse = (float) (1 / Math.sqrt(total / width + epsilon));
    long from = delta != 0 ? sum : x;
    for (int i = 0; i < width; i += LANES) {
      store(load(from + i * F).mul(inverse).mul(load(weight + i * F)), normed + i * F);
    }
  }

  /** {@code silu(gate) * up}, both multiplied by {@code factor} first. */
  static void swiGlu(long gate, long up, float factor, int width, long result) {
    for (int i = 0; i < width; i += LANES) {
      FloatVector g = load(gate + i * F).mul(factor);
      FloatVector u = load(up + i * F).mul(factor);
      store(g.div(Exponential.of(g.neg()).add(1f)).mul(u), result + i * F);
    }
  }
}
