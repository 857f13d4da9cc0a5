package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.ALL;
import static io.epidote.engine.kernel.Memory.LANES;
import static io.epidote.engine.kernel.Memory.ORDER;
import static io.epidote.engine.kernel.Memory.broadcast;
import static io.epidote.engine.kernel.Memory.load;

import jdk.incubator.vector.FloatVector;

/**
 * Products of six rows with a panel: columns of a matrix that stand together, as many as two
 * vectors have lanes. Twelve sums in registers are enough to keep two multipliers busy, and few
 * enough for sixteen registers. Sums are taken in the order of the rows' elements.
 *
 * <p>Beside what {@link Rows} says of vectors: a compiler stops to look into methods in a method
 * that has become long. So what comes last, the stores, calls the vector's own method, which is
 * always looked into.
 */
final class Panels {
  /** Rows of a product. */
  static final int ROWS = 6;

  /** Columns of a panel. */
  static final int COLUMNS = 2 * LANES;

  private static final long F = Float.BYTES;

  private Panels() {}

  /**
   * {@code to = from + rows x panel}, whose columns stand {@link #COLUMNS} to a row.
   *
   * @param rows {@code [6, depth]}, {@code rowStride} floats apart
   * @param panel {@code [depth, COLUMNS]}
   * @param from {@code [6, COLUMNS]}, {@code fromStride} floats apart, which may be 0
   * @param to {@code [6, COLUMNS]}, {@code toStride} floats apart
   */
  static void product(
      long rows,
      int rowStride,
      long panel,
      int depth,
      long from,
      int fromStride,
      long to,
      int toStride) {
    long high = LANES * F;
    long start = fromStride * F;
    FloatVector a0 = load(from);
    FloatVector a1 = load(from + high);
    FloatVector b0 = load(from + start);
    FloatVector b1 = load(from + start + high);
    FloatVector c0 = load(from + 2 * start);
    FloatVector c1 = load(from + 2 * start + high);
    FloatVector d0 = load(from + 3 * start);
    FloatVector d1 = load(from + 3 * start + high);
    FloatVector e0 = load(from + 4 * start);
    FloatVector e1 = load(from + 4 * start + high);
    FloatVector f0 = load(from + 5 * start);
    FloatVector f1 = load(from + 5 * start + high);
    long row1 = rows + rowStride * F;
    long row2 = row1 + rowStride * F;
    long row3 = row2 + rowStride * F;
    long row4 = row3 + rowStride * F;
    long row5 = row4 + rowStride * F;
    for (int i = 0; i < depth; i++) {
      long column = panel + i * (COLUMNS * F);
      long element = i * F;
      FloatVector x = load(column);
      FloatVector y = load(column + high);
      FloatVector r = broadcast(rows + element);
      a0 = r.fma(x, a0);
      a1 = r.fma(y, a1);
      r = broadcast(row1 + element);
      b0 = r.fma(x, b0);
      b1 = r.fma(y, b1);
      r = broadcast(row2 + element);
      c0 = r.fma(x, c0);
      c1 = r.fma(y, c1);
      r = broadcast(row3 + element);
      d0 = r.fma(x, d0);
      d1 = r.fma(y, d1);
      r = broadcast(row4 + element);
      e0 = r.fma(x, e0);
      e1 = r.fma(y, e1);
      r = broadcast(row5 + element);
      f0 = r.fma(x, f0);
      f1 = r.fma(y, f1);
    }
    long next = toStride * F;
    a0.intoMemorySegment(ALL, to, ORDER);
    a1.intoMemorySegment(ALL, to + high, ORDER);
    b0.intoMemorySegment(ALL, to + next, ORDER);
    b1.intoMemorySegment(ALL, to + next + high, ORDER);
    c0.intoMemorySegment(ALL, to + 2 * next, ORDER);
    c1.intoMemorySegment(ALL, to + 2 * next + high, ORDER);
    d0.intoMemorySegment(ALL, to + 3 * next, ORDER);
    d1.intoMemorySegment(ALL, to + 3 * next + high, ORDER);
    e0.intoMemorySegment(ALL, to + 4 * next, ORDER);
    e1.intoMemorySegment(ALL, to + 4 * next + high, ORDER);
    f0.intoMemorySegment(ALL, to + 5 * next, ORDER);
    f1.intoMemorySegment(ALL, to + 5 * next + high, ORDER);
  }

  /** As {@link #product}, {@code to = to + rows x panel}, with a panel of one vector. */
  static void narrowProduct(
      long rows, int rowStride, long panel, int depth, long to, int toStride) {
    long next = toStride * F;
    FloatVector a = load(to);
    FloatVector b = load(to + next);
    FloatVector c = load(to + 2 * next);
    FloatVector d = load(to + 3 * next);
    FloatVector e = load(to + 4 * next);
    FloatVector f = load(to + 5 * next);
    long row1 = rows + rowStride * F;
    long row2 = row1 + rowStride * F;
    long row3 = row2 + rowStride * F;
    long row4 = row3 + rowStride * F;
    long row5 = row4 + rowStride * F;
    for (int i = 0; i < depth; i++) {
      long element = i * F;
      FloatVector x = load(panel + i * (LANES * F));
      a = broadcast(rows + element).fma(x, a);
      b = broadcast(row1 + element).fma(x, b);
      c = broadcast(row2 + element).fma(x, c);
      d = broadcast(row3 + element).fma(x, d);
      e = broadcast(row4 + element).fma(x, e);
      f = broadcast(row5 + element).fma(x, f);
    }
    a.intoMemorySegment(ALL, to, ORDER);
    b.intoMemorySegment(ALL, to + next, ORDER);
    c.intoMemorySegment(ALL, to + 2 * next, ORDER);
    d.intoMemorySegment(ALL, to + 3 * next, ORDER);
    e.intoMemorySegment(ALL, to + 4 * next, ORDER);
    f.intoMemorySegment(ALL, to + 5 * next, ORDER);
  }
}
