package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.ALL;
import static io.epidote.engine.kernel.Memory.INTS;
import static io.epidote.engine.kernel.Memory.LANES;
import static io.epidote.engine.kernel.Memory.ORDER;
import static io.epidote.engine.kernel.PackedBytes.COLUMNS;
import static io.epidote.engine.kernel.PackedBytes.GROUP;

import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/** With the Vector API, for processors that no code is generated for. */
final class PortableByteProducts implements PanelProducts {
  private static final long COLUMN_BYTES = (long) COLUMNS * Integer.BYTES;

  @Override
  public int maxRows() {
    return 1;
  }

  @Override
  public void multiply(
      int count, long rows, long rowBytes, long panel, int in, long scales, long to, long toBytes) {
    float scale = Memory.get(scales);
    long columnScales = panel + COLUMN_BYTES + (long) in * COLUMNS;
    for (int lane = 0; lane < COLUMNS; lane += LANES) {
      long offset = (long) lane * Integer.BYTES;
      IntVector sums = IntVector.fromMemorySegment(INTS, ALL, panel + offset, ORDER);
      for (int i = 0; i < in; i += GROUP) {
        long weights = panel + COLUMN_BYTES + (long) i * COLUMNS + offset;
        IntVector four = IntVector.fromMemorySegment(INTS, ALL, weights, ORDER);
        IntVector first = four.lanewise(VectorOperators.LSHL, 24);
        IntVector second = four.lanewise(VectorOperators.LSHL, 16);
        IntVector third = four.lanewise(VectorOperators.LSHL, 8);
        first = first.lanewise(VectorOperators.ASHR, 24).mul(unsigned(rows + i));
        second = second.lanewise(VectorOperators.ASHR, 24).mul(unsigned(rows + i + 1));
        third = third.lanewise(VectorOperators.ASHR, 24).mul(unsigned(rows + i + 2));
        four = four.lanewise(VectorOperators.ASHR, 24).mul(unsigned(rows + i + 3));
        sums = first.add(second).add(third.add(four)).add(sums);
      }
      FloatVector products = (FloatVector) sums.convert(VectorOperators.I2F, 0);
      Memory.store(products.mul(Memory.load(columnScales + offset)).mul(scale), to + offset);
    }
  }

  private static int unsigned(long address) {
    return ALL.get(ValueLayout.JAVA_BYTE, address) & 0xFF;
  }
}
