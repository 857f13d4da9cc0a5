package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.PackedMatrix.COLUMNS;

import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Adds what low-rank adapters make of their rows to the results of linear layers. Rows are sorted
 * by adapter, so that its matrices are read once for all of them; rows of nobody are not touched.
 * Products are of floats whatever the linear layer reads; a row's does not depend on the others.
 */
final class LoraKernel {
  private static final long F = Float.BYTES;

  private final PanelProducts products = PanelProducts.OF_FLOATS;
  private final FloatArray gathered;
  private final FloatArray inner;

  /** By worker, products with a panel of B before they are added. */
  private final List<FloatArray> edges;

  LoraKernel(Arena arena, int threads) {
    this.gathered = new FloatArray(arena);
    this.inner = new FloatArray(arena);
    this.edges = IntStream.range(0, threads).mapToObj(i -> new FloatArray(arena)).toList();
  }

  /**
   * Rows of one adapter.
   *
   * @param rows their numbers, both of what is read and of the result
   */
  record Segment(LoraMatrices lora, int[] rows) {}

  /**
   * Where rows stand that linear layers read.
   *
   * @param values {@code [rows, width]}, or 0 when they are only there as bytes
   */
  record Source(long values, ByteRows quantised) {}

  /** A panel of a segment's A. */
  private record Down(Segment segment, int first, int panel) {}

  /** A panel of a segment's B. */
  private record Up(Segment segment, int first, LoraMatrices.Up part, int panel) {}

  /**
   * @param segments of the same {@link LoraMatrices#in()}
   * @param result {@code [rows, out]}
   */
  void add(KernelContext context, List<Segment> segments, Source source, long result, int out)
      throws Throwable {
    int count = segments.stream().mapToInt(segment -> segment.rows().length).sum();
    if (count == 0) {
      return;
    }
    int in = segments.getFirst().lora().in();
    int[] rows = new int[count];
    List<Down> downs = new ArrayList<>();
    List<Up> ups = new ArrayList<>();
    int stride = 0;
    int first = 0;
    for (Segment segment : segments) {
      System.arraycopy(segment.rows(), 0, rows, first, segment.rows().length);
      int panels = new PackedFloats(in, segment.lora().rank()).panels();
      stride = Math.max(stride, panels * COLUMNS);
      for (int panel = 0; panel < panels; panel++) {
        downs.add(new Down(segment, first, panel));
      }
      for (LoraMatrices.Up part : segment.lora().ups()) {
        for (int panel = 0; panel < new PackedFloats(part.rank(), part.out()).panels(); panel++) {
          ups.add(new Up(segment, first, part, panel));
        }
      }
      first += segment.rows().length;
    }
    gathered.reserve((long) count * in);
    inner.reserve((long) count * stride);
    edges.forEach(edge -> edge.reserve((long) products.maxRows() * COLUMNS));
    int innerWidth = stride;
    Pieces.share(context, count, (row, worker) -> gather(source, rows[row], in, row));
    context.share(downs.size(), (piece, worker) -> multiply(downs.get(piece), innerWidth));
    context.share(
        ups.size(),
        (piece, worker) ->
            multiply(ups.get(piece), innerWidth, result, out, edges.get(worker).address()));
  }

  private void gather(Source source, int from, int width, int to) {
    long row = gathered.address() + (long) to * width * F;
    if (source.values() != 0) {
      Memory.copy(source.values() + (long) from * width * F, row, width);
      return;
    }
    Activations.restore(
        source.quantised().bytes() + (long) from * width,
        Memory.get(source.quantised().scales() + from * F),
        width,
        row);
  }

  private void multiply(Down piece, int stride) {
    LoraMatrices lora = piece.segment().lora();
    PackedFloats matrix = new PackedFloats(lora.in(), lora.rank());
    long panel = lora.down() + piece.panel() * matrix.panelBytes();
    int count = piece.segment().rows().length;
    for (int done = 0; done < count; done += products.maxRows()) {
      long row = piece.first() + done;
      products.multiply(
          Math.min(products.maxRows(), count - done),
          gathered.address() + row * matrix.rowBytes(),
          matrix.rowBytes(),
          panel,
          lora.in(),
          0,
          inner.address() + (row * stride + (long) piece.panel() * COLUMNS) * F,
          stride * F);
    }
  }

  private void multiply(Up piece, int stride, long result, int out, long edge) {
    LoraMatrices.Up part = piece.part();
    PackedFloats matrix = new PackedFloats(part.rank(), part.out());
    long panel = part.weights() + piece.panel() * matrix.panelBytes();
    int columns = matrix.columns(piece.panel());
    int[] rows = piece.segment().rows();
    for (int done = 0; done < rows.length; done += products.maxRows()) {
      int block = Math.min(products.maxRows(), rows.length - done);
      long from = inner.address() + ((long) (piece.first() + done) * stride + part.first()) * F;
      products.multiply(block, from, stride * F, panel, part.rank(), 0, edge, COLUMNS * F);
      for (int i = 0; i < block; i++) {
        long to =
            result
                + ((long) rows[done + i] * out + part.column() + (long) piece.panel() * COLUMNS)
                    * F;
        Rows.addScaled(edge + i * (COLUMNS * F), 1, false, to, columns);
      }
    }
  }

  long bytes() {
    return gathered.bytes() + inner.bytes() + edges.stream().mapToLong(FloatArray::bytes).sum();
  }
}
