package io.epidote.engine.kernel;

import io.epidote.engine.onnx.ElementType;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Attention of all positions of a tile to all of it, as a vision tower has it. A worker takes a
 * head, puts its keys and values into {@link Panels} once and then goes through the queries a few
 * at a time, so that scores never leave the cache (after FlashAttention). A position's result is
 * computed in the same order of operations whatever else is in the batch and whoever computes it.
 *
 * <p>Inputs: {@code qkv [tiles * positions, 3 * heads * headWidth]}, queries first, then keys, then
 * values; and their biases {@code [3 * heads * headWidth]}. Outputs: {@code [tiles * positions,
 * heads * headWidth]}, the same quantised, its rows' scales {@code [tiles * positions, 1]}.
 */
public final class TileAttention implements AutoCloseable {
  public static final String NAME = "TileAttention";

  /** The operator's attribute: positions of a tile. */
  public static final String POSITIONS = "positions";

  private static final long F = Float.BYTES;

  /** Units of work for each worker at the least: the last ones end at about the same time. */
  private static final int UNITS = 4;

  private final int heads;
  private final int width;
  private final Arena arena = Arena.ofShared();
  private final List<TileScratch> scratches;
  private final FloatArray contexts = new FloatArray(arena);

  /**
   * @param headWidth floats of a head's query, key and value
   * @param threads of the session
   */
  public TileAttention(int heads, int headWidth, int threads) {
    this.heads = heads;
    this.width = headWidth;
    this.scratches =
        IntStream.range(0, threads).mapToObj(i -> new TileScratch(arena, headWidth)).toList();
  }

  /** The operator, for the session that it is used in. */
  public Operator operator() {
    return new Operator(
        NAME,
        List.of(ElementType.FLOAT, ElementType.FLOAT),
        List.of(ElementType.FLOAT, ElementType.UINT8, ElementType.FLOAT),
        POSITIONS,
        positions -> context -> compute(context, (int) positions));
  }

  private void compute(KernelContext context, int positions) throws Throwable {
    int hidden = heads * width;
    long qkv = context.input(0);
    long biases = context.input(1);
    int rows = (int) (context.elements(0) / (3 * hidden));
    long wanted = context.output(0, rows, hidden);
    ByteRows bytes = ByteRows.output(context, 1, rows, hidden);
    contexts.reserve(wanted == 0 ? (long) rows * hidden : 0);
    long output = wanted == 0 ? contexts.address() : wanted;
    int parts = parts(rows / positions, positions, context.threads());
    context.share(
        rows / positions * heads * parts,
        (unit, worker) -> {
          long first = (long) (unit / (heads * parts)) * positions;
          int head = unit / parts % heads;
          TileHead tile =
              new TileHead(
                  qkv + (first * 3 * hidden + head * width) * F,
                  biases + head * width * F,
                  output + (first * hidden + head * width) * F,
                  hidden,
                  width,
                  positions);
          int part = unit % parts;
          tile.attend(
              scratches.get(worker), positions * part / parts, positions * (part + 1) / parts);
        });
    if (bytes.wanted()) {
      Pieces.share(
          context, rows, (row, worker) -> bytes.put(output + (long) row * hidden * F, row));
    }
  }

  /** In how many parts the queries of a head are shared out: each packs all keys again. */
  private int parts(int tiles, int positions, int threads) {
    if (threads == 1) {
      return 1;
    }
    int wanted = (UNITS * threads + tiles * heads - 1) / (tiles * heads);
    return Math.max(1, Math.min(wanted, positions / TileScratch.QUERIES));
  }

  /** Bytes outside the heap that steps work in. */
  public long scratchBytes() {
    return contexts.bytes() + scratches.stream().mapToLong(TileScratch::bytes).sum();
  }

  @Override
  public void close() {
    arena.close();
  }
}
