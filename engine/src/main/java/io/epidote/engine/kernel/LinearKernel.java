package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.PackedMatrix.COLUMNS;

import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;

/** Multiplies rows by a packed matrix, on the threads of a session. */
final class LinearKernel {
  /** Rows that stay in a core's second cache while panels pass by. */
  private static final int ROW_BYTES = 512 << 10;

  private static final long F = Float.BYTES;

  private final PanelProducts products;

  /** Where a worker's products with the last panel go when it is not a whole one. */
  private final List<FloatArray> edges;

  LinearKernel(PanelProducts products, Arena arena, int threads) {
    this.products = products;
    this.edges = IntStream.range(0, threads).mapToObj(i -> new FloatArray(arena)).toList();
    edges.forEach(edge -> edge.reserve((long) products.maxRows() * COLUMNS));
  }

  /**
   * @param rows at least 1
   * @param x {@code [rows, in]}, bytes or floats
   * @param scales {@code [rows]}
   * @param result {@code [rows, out]}
   */
  void run(
      KernelContext context,
      PackedMatrix matrix,
      int rows,
      long x,
      long scales,
      long weights,
      long result)
      throws Throwable {
    int most = products.maxRows();
    int together = (int) Math.max(1, ROW_BYTES / matrix.rowBytes() / most) * most;
    int chunks = (rows + together - 1) / together;
    int panels = matrix.panels();
    context.share(
        chunks * panels,
        (piece, worker) -> {
          int chunk = piece / panels;
          multiply(
              matrix,
              piece % panels,
              rows * chunk / chunks,
              rows * (chunk + 1) / chunks,
              x,
              scales,
              weights,
              result,
              worker);
        });
  }

  /** Rows {@code from} to {@code end - 1} by one panel, in blocks as equal as can be. */
  void multiply(
      PackedMatrix matrix,
      int panel,
      int from,
      int end,
      long x,
      long scales,
      long weights,
      long result,
      int worker) {
    int blocks = (end - from + products.maxRows() - 1) / products.maxRows();
    long address = weights + panel * matrix.panelBytes();
    int columns = matrix.columns(panel);
    long column = result + panel * (COLUMNS * F);
    long rowFloats = matrix.out() * F;
    for (int block = 0; block < blocks; block++) {
      int first = from + (end - from) * block / blocks;
      int count = from + (end - from) * (block + 1) / blocks - first;
      long row = x + first * matrix.rowBytes();
      long scale = scales + first * F;
      long to = column + first * rowFloats;
      if (columns == COLUMNS) {
        products.multiply(
            count, row, matrix.rowBytes(), address, matrix.in(), scale, to, rowFloats);
      } else {
        long edge = edges.get(worker).address();
        products.multiply(
            count, row, matrix.rowBytes(), address, matrix.in(), scale, edge, COLUMNS * F);
        for (int i = 0; i < count; i++) {
          Memory.copy(edge + i * (COLUMNS * F), to + i * rowFloats, columns);
        }
      }
    }
  }
}
