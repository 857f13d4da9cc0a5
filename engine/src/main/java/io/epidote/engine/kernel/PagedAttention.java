package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.AttentionShape.BLOCK_TOKENS;
import static io.epidote.engine.kernel.Memory.LANES;

import io.epidote.engine.onnx.ElementType;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Causal attention over paged keys and values (after vLLM's PagedAttention), with the rotation and
 * the storing of new ones. Nothing is gathered: scores are taken where the blocks are.
 *
 * <p>In a block a head's keys stand transposed, {@code [keyWidth, 16 tokens]}, its values by token,
 * {@code [16, valueWidth]}, so that neither product sums across the lanes of a vector. A token's
 * result is computed in the same order of operations whatever else is in its chunk or its batch.
 *
 * <p>Inputs: {@code qkv [T, heads * keyWidth + kvHeads * (keyWidth + valueWidth)]}, queries first,
 * then keys, then values. Outputs: {@code [T, heads * valueWidth]}, the same quantised, its rows'
 * scales {@code [T, 1]}.
 */
public final class PagedAttention implements AutoCloseable {
  public static final String NAME = "PagedAttention";

  /** The operator's attribute: which layer, from 0. */
  public static final String LAYER = "layer";

  /** Queries of a unit of work, times the query heads of a group. */
  private static final int UNIT_ROWS = 48;

  /** Vectors that hold one element of the keys of a block's tokens. */
  private static final int VECTORS = BLOCK_TOKENS / LANES;

  private final AttentionShape shape;
  private final Arena arena = Arena.ofShared();
  private final List<Scratch> scratches;
  private PagedStep step = PagedStep.NONE;
  private List<PagedStep.Unit> units = List.of();
  private final FloatArray queries = new FloatArray(arena);
  private final FloatArray contexts = new FloatArray(arena);

  /**
   * @param threads of the session
   */
  public PagedAttention(AttentionShape shape, int threads) {
    this.shape = shape;
    this.scratches = IntStream.range(0, threads).mapToObj(i -> new Scratch(arena)).toList();
  }

  /** The operator, for the session that it is used in. */
  public Operator operator() {
    return new Operator(
        NAME,
        List.of(ElementType.FLOAT),
        List.of(ElementType.FLOAT, ElementType.UINT8, ElementType.FLOAT),
        LAYER,
        layer -> context -> compute(context, (int) layer));
  }

  /** Sets what the next run is about. */
  public void prepare(PagedStep step) {
    this.step = step;
    int group = shape.heads() / shape.kvHeads();
    this.units = step.units(Math.max(1, UNIT_ROWS / group), shape.kvHeads());
  }

  private void compute(KernelContext context, int layer) throws Throwable {
    long qkv = context.input(0);
    int tokens = step.tokens();
    int width = shape.heads() * shape.valueWidth();
    long wanted = context.output(0, tokens, width);
    long bytes = context.output(1, tokens, width);
    long byteScales = context.output(2, tokens, 1);
    queries.reserve((long) tokens * shape.heads() * shape.keyWidth());
    contexts.reserve(wanted == 0 ? (long) tokens * width : 0);
    long output = wanted == 0 ? contexts.address() : wanted;
    long plane = step.plane(layer);
    context.share(
        Pieces.of(tokens),
        (piece, worker) -> Pieces.forEach(piece, tokens, token -> admit(qkv, plane, token)));
    int window = shape.window().applyAsInt(layer);
    context.share(
        units.size(),
        (unit, worker) -> attend(units.get(unit), plane, output, window, scratches.get(worker)));
    if (bytes != 0) {
      context.share(
          Pieces.of(tokens),
          (piece, worker) ->
              Pieces.forEach(
                  piece,
                  tokens,
                  token ->
                      Activations.quantize(
                          output + (long) token * width * Float.BYTES,
                          width,
                          bytes + (long) token * width,
                          byteScales + (long) token * Float.BYTES)));
    }
  }

  /** Rotates and scales a token's queries and puts its keys and values into their block. */
  private void admit(long qkv, long plane, int token) {
    int heads = shape.heads();
    int keyWidth = shape.keyWidth();
    int valueWidth = shape.valueWidth();
    int position = step.position(token);
    long from = qkv + (long) token * shape.tokenFloats() * Float.BYTES;
    long to = queries.address() + (long) token * heads * keyWidth * Float.BYTES;
    AttentionShape.Rotation rotation = shape.rotation();
    for (int head = 0; head < heads; head++) {
      Rows.rotate(from, to, keyWidth, rotation, position, shape.scale());
      from += (long) keyWidth * Float.BYTES;
      to += (long) keyWidth * Float.BYTES;
    }
    int slot = position % BLOCK_TOKENS;
    long block =
        plane
            + (long) step.block(token, position / BLOCK_TOKENS) * shape.blockFloats() * Float.BYTES;
    for (int head = 0; head < shape.kvHeads(); head++) {
      // Rotated in place: nothing else reads the projection.
      Rows.rotate(from, from, keyWidth, rotation, position, 1);
      long keys = block + (long) head * shape.headFloats() * Float.BYTES;
      for (int i = 0; i < keyWidth; i++) {
        Memory.put(
            keys + (long) (i * BLOCK_TOKENS + slot) * Float.BYTES,
            Memory.get(from + (long) i * Float.BYTES));
      }
      from += (long) keyWidth * Float.BYTES;
    }
    for (int head = 0; head < shape.kvHeads(); head++) {
      long values =
          block
              + (head * (long) shape.headFloats()
                      + BLOCK_TOKENS * (long) keyWidth
                      + slot * (long) valueWidth)
                  * Float.BYTES;
      Memory.copy(from, values, valueWidth);
      from += (long) valueWidth * Float.BYTES;
    }
  }

  /** All query heads of one KV head, for some consecutive tokens of a sequence. */
  private void attend(PagedStep.Unit unit, long plane, long output, int window, Scratch scratch) {
    int group = shape.heads() / shape.kvHeads();
    int keyWidth = shape.keyWidth();
    int valueWidth = shape.valueWidth();
    int last = step.position(unit.firstToken() + unit.tokens() - 1);
    int firstBlock = firstSeen(step.position(unit.firstToken()), window) / BLOCK_TOKENS;
    int blocks = last / BLOCK_TOKENS - firstBlock + 1;
    int vectors = blocks * VECTORS;
    // Keys are read two vectors at a time; an odd last one is read twice.
    int stride = (vectors + 1) / 2 * 2 * LANES;
    int rows = unit.tokens() * group;
    int tiles = (rows + Rows.TILE - 1) / Rows.TILE;
    scratch.reserve(tiles, valueWidth, stride);
    long headBytes = (long) unit.head() * shape.headFloats() * Float.BYTES;
    long blockBytes = (long) shape.blockFloats() * Float.BYTES;
    for (int v = 0; v < vectors; v += 2) {
      long keys = plane + headBytes;
      long k0 = keys + keys(unit, firstBlock, v);
      long k1 = keys + keys(unit, firstBlock, Math.min(v + 1, vectors - 1));
      for (int tile = 0; tile < tiles; tile++) {
        int row = tile * Rows.TILE;
        long to = scratch.scores() + ((long) row * stride + v * LANES) * Float.BYTES;
        Rows.scores(
            query(unit, row, group),
            query(unit, Math.min(row + 1, rows - 1), group),
            query(unit, Math.min(row + 2, rows - 1), group),
            query(unit, Math.min(row + 3, rows - 1), group),
            k0,
            k1,
            keyWidth,
            to,
            to + (long) LANES * Float.BYTES,
            stride);
      }
    }
    int origin = firstBlock * BLOCK_TOKENS;
    for (int row = 0; row < rows; row++) {
      int position = step.position(unit.firstToken() + row % unit.tokens());
      int from = firstSeen(position, window) - origin;
      scratch.sums()[row] =
          Rows.exponentials(
              scratch.scores() + (long) row * stride * Float.BYTES,
              from,
              position + 1 - origin,
              stride);
    }
    Memory.clear(scratch.contexts(), (long) tiles * Rows.TILE * valueWidth);
    for (int b = 0; b < blocks; b++) {
      long values =
          plane
              + step.block(unit.firstToken(), firstBlock + b) * blockBytes
              + headBytes
              + (long) BLOCK_TOKENS * keyWidth * Float.BYTES;
      // Beyond the last token a block holds whatever was there before, NaN perhaps.
      int filled = Math.min(BLOCK_TOKENS, last + 1 - origin - b * BLOCK_TOKENS);
      for (int tile = 0; tile < tiles; tile++) {
        Rows.contexts(
            scratch.scores() + ((long) tile * Rows.TILE * stride + b * BLOCK_TOKENS) * Float.BYTES,
            stride,
            values,
            filled,
            valueWidth,
            scratch.contexts() + (long) tile * Rows.TILE * valueWidth * Float.BYTES);
      }
    }
    for (int row = 0; row < rows; row++) {
      long to =
          output
              + ((long) (unit.firstToken() + row % unit.tokens()) * shape.heads()
                      + unit.head() * group
                      + row / unit.tokens())
                  * valueWidth
                  * Float.BYTES;
      Rows.scale(
          scratch.contexts() + (long) row * valueWidth * Float.BYTES,
          to,
          1 / scratch.sums()[row],
          valueWidth);
    }
  }

  /**
   * Row r of a unit is query head r / tokens of the group and token r % tokens; those that fill the
   * last tile up repeat the last.
   */
  private long query(PagedStep.Unit unit, int row, int group) {
    return queries.address()
        + ((long) (unit.firstToken() + row % unit.tokens()) * shape.heads()
                + unit.head() * group
                + row / unit.tokens())
            * shape.keyWidth()
            * Float.BYTES;
  }

  /** Where a vector of keys stands in the plane, without its head's place. */
  private long keys(PagedStep.Unit unit, int firstBlock, int vector) {
    return (long) step.block(unit.firstToken(), firstBlock + vector / VECTORS)
            * shape.blockFloats()
            * Float.BYTES
        + (long) (vector % VECTORS) * LANES * Float.BYTES;
  }

  private static int firstSeen(int position, int window) {
    return (int) Math.max(0, position - (long) window + 1);
  }

  /** Bytes outside the heap that steps work in. */
  public long scratchBytes() {
    return queries.bytes() + contexts.bytes() + scratches.stream().mapToLong(Scratch::bytes).sum();
  }

  @Override
  public void close() {
    arena.close();
  }
}
