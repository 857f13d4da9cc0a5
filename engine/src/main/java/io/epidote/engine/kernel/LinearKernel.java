package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.PackedBytes.COLUMNS;

import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;

/** Multiplies rows of bytes by a packed matrix, on the threads of a session. */
final class LinearKernel {
  /** Rows that stay in a core's second cache while panels pass by. */
  private static final int ROW_BYTES = 512 << 10;

  /** Pieces of work for each thread: a late one then holds nobody up for long. */
  private static final int PIECES = 4;

  private static final long F = Float.BYTES;

  private final ByteProducts products = ByteProducts.BEST;

  /** Where a worker's products with the last panel go when it is not a whole one. */
  private final List<FloatArray> edges;

  LinearKernel(Arena arena, int threads) {
    this.edges = IntStream.range(0, threads).mapToObj(i -> new FloatArray(arena)).toList();
    edges.forEach(edge -> edge.reserve((long) products.maxRows() * COLUMNS));
  }

  /**
   * @param rows at least 1
   * @param bytes {@code [rows, in]}
   * @param scales {@code [rows]}
   * @param result {@code [rows, out]}
   */
  void run(
      KernelContext context,
      PackedBytes matrix,
      int rows,
      long bytes,
      long scales,
      long weights,
      long result)
      throws Throwable {
    int most = products.maxRows();
    int together = Math.max(1, ROW_BYTES / matrix.in() / most) * most;
    int chunks = (rows + together - 1) / together;
    int panels = matrix.panels();
    // Many rows make a panel's work large enough to be handed out alone.
    int groups = rows > 4 * most ? panels : Math.min(panels, PIECES * context.threads());
    context.share(
        chunks * groups,
        (piece, worker) -> {
          int chunk = piece / groups;
          int group = piece % groups;
          int end = panels * (group + 1) / groups;
          for (int panel = panels * group / groups; panel < end; panel++) {
            multiply(
                matrix,
                panel,
                rows * chunk / chunks,
                rows * (chunk + 1) / chunks,
                bytes,
                scales,
                weights,
                result,
                worker);
          }
        });
  }

  /** Rows {@code from} to {@code end - 1} by one panel, in blocks as equal as can be. */
  void multiply(
      PackedBytes matrix,
      int panel,
      int from,
      int end,
      long bytes,
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
      long row = bytes + (long) first * matrix.in();
      long scale = scales + first * F;
      long to = column + first * rowFloats;
      if (columns == COLUMNS) {
        products.multiply(count, row, matrix.in(), address, matrix.in(), scale, to, rowFloats);
      } else {
        long edge = edges.get(worker).address();
        products.multiply(count, row, matrix.in(), address, matrix.in(), scale, edge, COLUMNS * F);
        for (int i = 0; i < count; i++) {
          Memory.copy(edge + i * (COLUMNS * F), to + i * rowFloats, columns);
        }
      }
    }
  }
}
