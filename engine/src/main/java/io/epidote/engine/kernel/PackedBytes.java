package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;

import java.lang.foreign.MemorySegment;

/**
 * A {@link PackedMatrix} of signed bytes. A panel has
 *
 * <ul>
 *   <li>for each column, an int: what the activations' zero point adds to its sums, negated;
 *   <li>for each group of four rows and each column, its four bytes;
 *   <li>for each column, a float: its scale.
 * </ul>
 *
 * @param in rows; a multiple of {@value #GROUP}
 * @param out columns
 */
public record PackedBytes(int in, int out) implements PackedMatrix {
  /** Bytes whose products an instruction sums. */
  public static final int GROUP = 4;

  /**
   * The largest magnitude of a weight: 2 * 255 * 63 still fits the 16 bits that processors without
   * VNNI sum pairs of products in. It is the same everywhere, so that answers are.
   */
  public static final int RANGE = 63;

  private static final int COLUMN_BYTES = COLUMNS * Integer.BYTES;

  public PackedBytes {
    if (in % GROUP != 0) {
      throw new IllegalArgumentException(
          "Linear layers of bytes read a multiple of %d values, not %d".formatted(GROUP, in));
    }
  }

  @Override
  public long rowBytes() {
    return in;
  }

  @Override
  public long panelBytes() {
    return 2L * COLUMN_BYTES + (long) in * COLUMNS;
  }

  /**
   * Writes one column.
   *
   * @param weights {@code [in]}, within {@link #RANGE}
   * @param scale what a weight of 1 stands for
   */
  public void put(MemorySegment matrix, int column, byte[] weights, float scale) {
    long panel = column / COLUMNS * panelBytes();
    int lane = column % COLUMNS;
    int sum = 0;
    for (int i = 0; i < in; i++) {
      sum += weights[i];
      matrix.set(
          JAVA_BYTE,
          panel + COLUMN_BYTES + (long) (i / GROUP * COLUMNS + lane) * GROUP + i % GROUP,
          weights[i]);
    }
    matrix.set(JAVA_INT_UNALIGNED, panel + (long) lane * Integer.BYTES, -Activations.ZERO * sum);
    matrix.set(
        JAVA_FLOAT_UNALIGNED,
        panel + panelBytes() - COLUMN_BYTES + (long) lane * Float.BYTES,
        // A byte of the activations' range stands for their row's magnitude.
        scale / Activations.RANGE);
  }
}
