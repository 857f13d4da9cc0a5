package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.ALL;
import static io.epidote.engine.kernel.Memory.FLOATS;
import static io.epidote.engine.kernel.Memory.INTS;
import static io.epidote.engine.kernel.Memory.LANES;
import static io.epidote.engine.kernel.Memory.ORDER;
import static io.epidote.engine.kernel.Memory.load;
import static io.epidote.engine.kernel.Memory.store;
import static io.epidote.engine.kernel.Memory.tail;

import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/** What happens to one row of activations between linear layers. */
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
    // Bits of floats without a sign are in the order of the floats.
    IntVector largest = IntVector.zero(INTS);
    int end = width / LANES * LANES;
    for (int i = 0; i < end; i += LANES) {
      largest = load(row + i * F).reinterpretAsInts().and(Integer.MAX_VALUE).max(largest);
    }
    float magnitude =
        Float.intBitsToFloat(IntVector.zero(INTS).max(largest).reduceLanes(VectorOperators.MAX));
    for (int i = end; i < width; i++) {
      magnitude = Math.max(magnitude, Math.abs(Memory.get(row + i * F)));
    }
    Memory.put(scale, magnitude);
    float factor = magnitude == 0 ? 0 : RANGE / magnitude;
    int i = 0;
    if (LANES == ByteVector.SPECIES_128.length()) {
      FloatVector toByte = FloatVector.broadcast(FLOATS, TO_BYTE);
      for (; i < end; i += LANES) {
        load(row + i * F)
            .lanewise(VectorOperators.FMA, FloatVector.broadcast(FLOATS, factor), toByte)
            .reinterpretAsInts()
            .convertShape(VectorOperators.I2B, ByteVector.SPECIES_128, 0)
            .intoMemorySegment(ALL, bytes + i, ORDER);
      }
    } else if (LANES == ByteVector.SPECIES_64.length()) {
      FloatVector toByte = FloatVector.broadcast(FLOATS, TO_BYTE);
      for (; i < end; i += LANES) {
        load(row + i * F)
            .lanewise(VectorOperators.FMA, FloatVector.broadcast(FLOATS, factor), toByte)
            .reinterpretAsInts()
            .convertShape(VectorOperators.I2B, ByteVector.SPECIES_64, 0)
            .intoMemorySegment(ALL, bytes + i, ORDER);
      }
    }
    for (; i < width; i++) {
      float value = Math.fma(Memory.get(row + i * F), factor, TO_BYTE);
      ALL.set(ValueLayout.JAVA_BYTE, bytes + i, (byte) Float.floatToRawIntBits(value));
    }
  }

  /**
   * What the bytes of {@link #quantize} stand for.
   *
   * @param magnitude that it put as the row's scale
   */
  static void restore(long bytes, float magnitude, int width, long row) {
    float unit = magnitude / RANGE;
    for (int i = 0; i < width; i++) {
      int value = Byte.toUnsignedInt(ALL.get(ValueLayout.JAVA_BYTE, bytes + i)) - ZERO;
      Memory.put(row + i * F, value * unit);
    }
  }

  /**
   * {@code sum = x + delta}; {@code normed = sum / rms(sum) * weight}.
   *
   * @param delta 0 when there is none
   */
  static void addAndNorm(
      long x, long delta, long weight, float epsilon, int width, long sum, long normed) {
    long from = x;
    if (delta != 0) {
      add(x, delta, width, sum);
      from = sum;
    }
    FloatVector squares = FloatVector.zero(FLOATS);
    int end = width / LANES * LANES;
    for (int i = 0; i < end; i += LANES) {
      FloatVector value = load(from + i * F);
      squares = value.fma(value, squares);
    }
    float total = Memory.sum(squares);
    for (int i = end; i < width; i++) {
      float value = Memory.get(from + i * F);
      total = Math.fma(value, value, total);
    }
    float inverse = (float) (1 / Math.sqrt(total / width + epsilon));
    for (int i = 0; i < end; i += LANES) {
      store(load(from + i * F).mul(inverse).mul(load(weight + i * F)), normed + i * F);
    }
    for (int i = end; i < width; i++) {
      Memory.put(normed + i * F, Memory.get(from + i * F) * inverse * Memory.get(weight + i * F));
    }
  }

  private static void add(long x, long delta, int width, long sum) {
    int i = 0;
    for (; i + LANES <= width; i += LANES) {
      store(load(x + i * F).add(load(delta + i * F)), sum + i * F);
    }
    for (; i < width; i++) {
      Memory.put(sum + i * F, Memory.get(x + i * F) + Memory.get(delta + i * F));
    }
  }

  /** {@code silu(gate) * up}. */
  static void swiGlu(long gate, long up, int width, long result) {
    int end = width / LANES * LANES;
    for (int i = 0; i < end; i += LANES) {
      FloatVector g = load(gate + i * F);
      FloatVector u = load(up + i * F);
      store(g.div(Exponential.of(g.neg()).add(1f)).mul(u), result + i * F);
    }
    if (end < width) {
      swiGluEnd(gate, up, end, width, result);
    }
  }

  /** A method of its own: two copies of the loop's body are more than a compiler looks into. */
  private static void swiGluEnd(long gate, long up, int end, int width, long result) {
    VectorMask<Float> lanes = tail(end, width);
    FloatVector g = load(gate + end * F, lanes);
    FloatVector u = load(up + end * F, lanes);
    store(g.div(Exponential.of(g.neg()).add(1f)).mul(u), result + end * F, lanes);
  }
}
