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

  private static final long F = Float.BYTES;

  private final FloatProducts products = FloatProducts.BEST;
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
    ByteRows quantised = ByteRows.output(context, 1, tokens, width);
    queries.reserve((long) tokens * shape.heads() * shape.keyWidth());
    contexts.reserve(wanted == 0 ? (long) tokens * width : 0);
    long output = wanted == 0 ? contexts.address() : wanted;
    long plane = step.plane(layer);
    Pieces.share(context, tokens, (token, worker) -> admit(qkv, plane, token));
    int window = shape.window().applyAsInt(layer);
    context.share(
        units.size(),
        (unit, worker) -> attend(units.get(unit), plane, output, window, scratches.get(worker)));
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

  /** All query heads of one KV head, for some consecutive tokens of a sequence. */
  private void attend(PagedStep.Unit unit, long plane, long output, int window, Scratch scratch) {
    int group = shape.heads() / shape.kvHeads();
    int keyWidth = shape.keyWidth();
    int valueWidth = shape.valueWidth();
    int last = step.position(unit.firstToken() + unit.tokens() - 1);
    int firstBlock = firstSeen(step.position(unit.firstToken()), window) / BLOCK_TOKENS;
    int blocks = last / BLOCK_TOKENS - firstBlock + 1;
    // Keys are read two blocks at a time; an odd last one is read twice.
    int stride = (blocks + 1) / 2 * 2 * BLOCK_TOKENS;
    int rows = unit.tokens() * group;
    scratch.reserve(rows, keyWidth, valueWidth, stride);
    for (int row = 0; row < rows; row++) {
      Memory.copy(
          queries.address() + head(unit, row, group) * keyWidth * F,
          scratch.queries() + row * (keyWidth * F),
          keyWidth);
    }
    long keys = plane + unit.head() * shape.headFloats() * F;
    long values = keys + BLOCK_TOKENS * keyWidth * F;
    for (int b = 0; b < blocks; b += 2) {
      long keys0 = keys + block(unit, firstBlock + b);
      long keys1 = keys + block(unit, Math.min(firstBlock + b + 1, firstBlock + blocks - 1));
      // After the last keys come the first values.
      boolean more = b + 2 < blocks;
      long next0 = more ? keys + block(unit, firstBlock + b + 2) : values + block(unit, firstBlock);
      long next1 = b + 3 < blocks ? keys + block(unit, firstBlock + b + 3) : next0;
      for (int row = 0; row < rows; row += products.maxRows()) {
        products.scores(
            Math.min(products.maxRows(), rows - row),
            scratch.queries() + row * (keyWidth * F),
            keyWidth,
            keys0,
            keys1,
            next0,
            next1,
            scratch.scores() + ((long) row * stride + b * BLOCK_TOKENS) * F,
            stride * F);
      }
    }
    int origin = firstBlock * BLOCK_TOKENS;
    for (int row = 0; row < rows; row++) {
      int position = step.position(unit.firstToken() + row % unit.tokens());
      int from = firstSeen(position, window) - origin;
      scratch.sums()[row] =
          Rows.exponentials(
              scratch.scores() + (long) row * stride * F, from, position + 1 - origin, stride);
    }
    Memory.clear(scratch.contexts(), (long) rows * valueWidth);
    for (int b = 0; b < blocks; b++) {
      // Beyond the last token a block holds whatever was there before, NaN perhaps.
      int filled = Math.min(BLOCK_TOKENS, last + 1 - origin - b * BLOCK_TOKENS);
      long next = values + block(unit, firstBlock + Math.min(b + 1, blocks - 1));
      for (int row = 0; row < rows; row += products.maxRows()) {
        products.contexts(
            Math.min(products.maxRows(), rows - row),
            scratch.scores() + ((long) row * stride + b * BLOCK_TOKENS) * F,
            stride * F,
            values + block(unit, firstBlock + b),
            filled,
            valueWidth,
            next,
            scratch.contexts() + row * (valueWidth * F));
      }
    }
    for (int row = 0; row < rows; row++) {
      Rows.scale(
          scratch.contexts() + row * (valueWidth * F),
          output + head(unit, row, group) * valueWidth * F,
          1 / scratch.sums()[row],
          valueWidth);
    }
  }

  /**
   * Where a unit's row is among the heads of all tokens: row r is query head r / tokens of the
   * group and token r % tokens.
   */
  private long head(PagedStep.Unit unit, int row, int group) {
    return (long) (unit.firstToken() + row % unit.tokens()) * shape.heads()
        + unit.head() * group
        + row / unit.tokens();
  }

  /** Where a block stands in its plane, in bytes. */
  private long block(PagedStep.Unit unit, int index) {
    return (long) step.block(unit.firstToken(), index) * shape.blockFloats() * F;
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
