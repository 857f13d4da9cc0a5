package io.epidote.engine.sampling;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The largest of a row of logits, read where they are. The loop over all of them is one that the
 * JVM turns into vector instructions: a maximum of integers that are in the order of the floats.
 */
final class LargestLogit {
  /** Unaligned, because a buffer may stand in an array of bytes. */
  private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;

  private static final ValueLayout.OfInt BITS = ValueLayout.JAVA_INT_UNALIGNED;

  private static final int INFINITY = ordered(Float.floatToRawIntBits(Float.POSITIVE_INFINITY));

  /** Only the piece with the largest is looked through for where it is. */
  private static final int PIECE = 2048;

  private LargestLogit() {}

  /**
   * Its index, the lowest among equals. NaN is not larger than anything, and nothing is larger than
   * a NaN at index 0.
   *
   * @param row {@code [count]}, in the machine's byte order
   * @param count at least 1
   */
  static int in(MemorySegment row, int count) {
    float largest = row.getAtIndex(FLOAT, 0);
    if (Float.isNaN(largest)) {
      return 0;
    }
    int start = 0;
    for (int from = 0; from < count; from += PIECE) {
      int bits = largestOrdered(row, from, Math.min(from + PIECE, count));
      if (bits > INFINITY) {
        return withNaN(row, count);
      }
      // As floats, because -0 is not less than 0.
      float here = Float.intBitsToFloat(ordered(bits));
      if (here > largest) {
        largest = here;
        start = from;
      }
    }
    return firstEqual(row, start, count, largest);
  }

  /** Turns the bits of floats into integers of the same order, NaN outermost, and back. */
  static int ordered(int bits) {
    return bits ^ ((bits >> 31) & 0x7FFFFFFF);
  }

  private static int largestOrdered(MemorySegment row, int from, int to) {
    int largest = Integer.MIN_VALUE;
    for (int i = from; i < to; i++) {
      largest = Math.max(largest, ordered(row.getAtIndex(BITS, i)));
    }
    return largest;
  }

  private static int firstEqual(MemorySegment row, int start, int count, float value) {
    for (int i = start; i < count; i++) {
      if (row.getAtIndex(FLOAT, i) == value) {
        return i;
      }
    }
    throw new IllegalStateException("a row of logits changed while it was read");
  }

  private static int withNaN(MemorySegment row, int count) {
    int best = 0;
    float largest = row.getAtIndex(FLOAT, 0);
    for (int i = 1; i < count; i++) {
      float logit = row.getAtIndex(FLOAT, i);
      if (logit > largest) {
        best = i;
        largest = logit;
      }
    }
    return best;
  }
}
