package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.AttentionShape.BLOCK_TOKENS;

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

  /** With fewer, some threads would have nothing to do while others read a long context. */
  private static final int UNITS_PER_THREAD = 2;

  /** Blocks, and columns of values, that are a piece of a divided unit. */
  private static final int PIECE_BLOCKS = 16;

  private static final int PIECE_COLUMNS = 32;

  private static final long F = Float.BYTES;

  private final FloatProducts products = FloatProducts.BEST;
  private final AttentionShape shape;
  private final Arena arena = Arena.ofShared();

  /** One for each worker, or for each unit while workers divide them. */
  private final List<AttentionTile> tiles;

  private PagedStep step = PagedStep.NONE;
  private List<PagedStep.Unit> units = List.of();
  private final FloatArray queries = new FloatArray(arena);
  private final FloatArray contexts = new FloatArray(arena);

  /**
   * @param threads of the session
   */
  public PagedAttention(AttentionShape shape, int threads) {
    this.shape = shape;
    this.tiles =
        IntStream.range(0, UNITS_PER_THREAD * threads)
            .mapToObj(i -> new AttentionTile(shape, products, arena))
            .toList();
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
    this.units = step.units(Math.max(1, UNIT_ROWS / shape.group()), shape.kvHeads());
  }

  private void compute(KernelContext context, int layer) throws Throwable {
    int tokens = step.tokens();
    int width = shape.heads() * shape.valueWidth();
    attend(
        context,
        layer,
        context.input(0),
        context.output(0, tokens, width),
        ByteRows.output(context, 1, tokens, width));
  }

  AttentionShape shape() {
    return shape;
  }

  /**
   * Attention of the step that was prepared.
   *
   * @param qkv as the operator's input; keys are rotated where they stand
   * @param wanted where the result goes, or 0 when it is not wanted but as bytes
   */
  void attend(KernelContext context, int layer, long qkv, long wanted, ByteRows quantised)
      throws Throwable {
    int tokens = step.tokens();
    int width = shape.heads() * shape.valueWidth();
    queries.reserve((long) tokens * shape.heads() * shape.keyWidth());
    contexts.reserve(wanted == 0 ? (long) tokens * width : 0);
    long output = wanted == 0 ? contexts.address() : wanted;
    long plane = step.plane(layer);
    Pieces.share(context, tokens, (token, worker) -> admit(qkv, plane, token));
    int window = shape.window().applyAsInt(layer);
    if (units.size() < UNITS_PER_THREAD * context.threads()) {
      divide(context, plane, window, output);
    } else {
      context.share(
          units.size(),
          (unit, worker) -> {
            AttentionTile tile = tiles.get(worker);
            tile.begin(step, units.get(unit), queries.address(), plane, window);
            tile.scores(0, tile.blocks());
            tile.exponentials();
            tile.contexts(0, shape.valueWidth(), output);
          });
    }
    if (quantised.wanted()) {
      Pieces.share(
          context,
          tokens,
          (token, worker) -> quantised.put(output + (long) token * width * F, token));
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

  /** Several workers for each unit. */
  private void divide(KernelContext context, long plane, int window, long output) throws Throwable {
    int blocks = 0;
    for (int unit = 0; unit < units.size(); unit++) {
      AttentionTile tile = tiles.get(unit);
      tile.begin(step, units.get(unit), queries.address(), plane, window);
      blocks = Math.max(blocks, tile.blocks());
    }
    int ranges = (blocks + PIECE_BLOCKS - 1) / PIECE_BLOCKS;
    context.share(
        units.size() * ranges,
        (piece, worker) -> {
          AttentionTile tile = tiles.get(piece / ranges);
          int first = piece % ranges * PIECE_BLOCKS;
          tile.scores(first, Math.min(first + PIECE_BLOCKS, tile.blocks()));
        });
    context.share(units.size(), (unit, worker) -> tiles.get(unit).exponentials());
    int width = shape.valueWidth();
    int parts = (width + PIECE_COLUMNS - 1) / PIECE_COLUMNS;
    context.share(
        units.size() * parts,
        (piece, worker) -> {
          int first = piece % parts * PIECE_COLUMNS;
          tiles.get(piece / parts).contexts(first, Math.min(PIECE_COLUMNS, width - first), output);
        });
  }

  /** Bytes outside the heap that steps work in. */
  public long scratchBytes() {
    return queries.bytes()
        + contexts.bytes()
        + tiles.stream().mapToLong(AttentionTile::bytes).sum();
  }

  @Override
  public void close() {
    arena.close();
  }
}
