package io.epidote.engine.kernel;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** A {@link PackedMatrix} of floats: in a panel, its columns of each row in order. */
public record PackedFloats(int in, int out) implements PackedMatrix {
  @Override
  public long rowBytes() {
    return (long) in * Float.BYTES;
  }

  @Override
  public long panelBytes() {
    return (long) in * COLUMNS * Float.BYTES;
  }

  /** Writes one element. */
  public void put(MemorySegment matrix, int row, int column, float value) {
    long index = ((long) (column / COLUMNS) * in + row) * COLUMNS + column % COLUMNS;
    matrix.set(ValueLayout.JAVA_FLOAT_UNALIGNED, index * Float.BYTES, value);
  }
}
