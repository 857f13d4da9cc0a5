package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.FLOATS;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * e to the x, by splitting x into a multiple of ln 2 and a rest for a polynomial (Cephes, expf): at
 * most 2 units in the last place off. The JDK's own vector operator is another function before and
 * after it is compiled, so that a node's first answers would differ from its later ones.
 */
final class Exponential {
  private static final float LOG2_E = 1.44269504f;
  private static final float LN2_HIGH = 0.693359375f;
  private static final float LN2_LOW = -2.12194440e-4f;

  /** Below this the result is not a normal number. */
  private static final float SMALLEST = -87f;

  private static final float LARGEST = 88f;
  private static final float SMALLEST_OF_TWO = -125f;

  /** 1.5 * 2^23: added, it leaves the nearest integer in the lowest bits. */
  private static final float ROUNDER = 12582912f;

  private static final int MANTISSA_BITS = 23;

  private Exponential() {}

  static FloatVector of(FloatVector x) {
    // Comparing is one instruction; Java's minimum, which tells -0 from 0, is many.
    FloatVector above = x.blend(SMALLEST, x.compare(VectorOperators.LT, SMALLEST));
    FloatVector bounded = above.blend(LARGEST, above.compare(VectorOperators.GT, LARGEST));
    FloatVector shifted =
        bounded.fma(FloatVector.broadcast(FLOATS, LOG2_E), FloatVector.broadcast(FLOATS, ROUNDER));
    FloatVector whole = shifted.sub(ROUNDER);
    FloatVector rest =
        whole.fma(
            FloatVector.broadcast(FLOATS, -LN2_LOW),
            whole.fma(FloatVector.broadcast(FLOATS, -LN2_HIGH), bounded));
    FloatVector sum = FloatVector.broadcast(FLOATS, 1.9875691500e-4f);
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 1.3981999507e-3f));
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 8.3334519073e-3f));
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 4.1665795894e-2f));
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 1.6666665459e-1f));
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 5.0000001201e-1f));
    FloatVector result = sum.fma(rest.mul(rest), rest).add(1f);
    return result
        .reinterpretAsInts()
        .add(shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, MANTISSA_BITS))
        .reinterpretAsFloats();
  }

  /**
   * 2 to the x, for x not above 0, likewise (Cephes, exp2f). Where it is not a normal number it is
   * the smallest one.
   */
  static FloatVector ofTwo(FloatVector x) {
    FloatVector bounded = x.blend(SMALLEST_OF_TWO, x.compare(VectorOperators.LT, SMALLEST_OF_TWO));
    FloatVector shifted = bounded.add(ROUNDER);
    FloatVector rest = bounded.sub(shifted.sub(ROUNDER));
    FloatVector sum = FloatVector.broadcast(FLOATS, 1.535336188e-4f);
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 1.339887440e-3f));
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 9.618437358e-3f));
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 5.550332471e-2f));
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 2.402264791e-1f));
    sum = sum.fma(rest, FloatVector.broadcast(FLOATS, 6.931472028e-1f));
    return sum.fma(rest, FloatVector.broadcast(FLOATS, 1f))
        .reinterpretAsInts()
        .add(shifted.reinterpretAsInts().lanewise(VectorOperators.LSHL, MANTISSA_BITS))
        .reinterpretAsFloats();
  }
}
