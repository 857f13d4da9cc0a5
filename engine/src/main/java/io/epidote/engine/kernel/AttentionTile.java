package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.AttentionShape.BLOCK_TOKENS;

import java.lang.foreign.Arena;

/**
 * Attention of all query heads of one KV head, for some consecutive tokens of a sequence: queries
 * by keys, their exponentials, and those by values. The first goes by blocks and the last by
 * columns, so that workers can divide either; whoever does a part, its sums are in the same order.
 */
final class AttentionTile {
  /** How many blocks ahead of the one that is read memory is asked for the next. */
  private static final int AHEAD = 4;

  private static final long F = Float.BYTES;

  private final AttentionShape shape;
  private final FloatProducts products;
  private final FloatArray queries;
  private final FloatArray scores;
  private final FloatArray contexts;
  private float[] sums = new float[0];

  private PagedStep step = PagedStep.NONE;
  private PagedStep.Unit unit = new PagedStep.Unit(0, 0, 0);
  private int rows;
  private int firstBlock;
  private int blocks;

  /** Floats from one row of scores to the next. */
  private int stride;

  private int window;
  private long keys;
  private long values;

  /**
   * @param arena that frees what steps work in
   */
  AttentionTile(AttentionShape shape, FloatProducts products, Arena arena) {
    this.shape = shape;
    this.products = products;
    this.queries = new FloatArray(arena);
    this.scores = new FloatArray(arena);
    this.contexts = new FloatArray(arena);
  }

  /**
   * Begins with a unit.
   *
   * @param allQueries of the step's tokens, {@code [T, heads, keyWidth]}, rotated and scaled
   * @param window how many tokens one sees at most
   */
  void begin(PagedStep ofStep, PagedStep.Unit ofUnit, long allQueries, long plane, int window) {
    this.step = ofStep;
    this.unit = ofUnit;
    this.window = window;
    int last = step.position(unit.firstToken() + unit.tokens() - 1);
    rows = unit.tokens() * shape.group();
    firstBlock = firstSeen(step.position(unit.firstToken())) / BLOCK_TOKENS;
    blocks = last / BLOCK_TOKENS - firstBlock + 1;
    // Keys are read two blocks at a time; an odd last one is read twice.
    stride = (blocks + 1) / 2 * 2 * BLOCK_TOKENS;
    keys = plane + unit.head() * shape.headFloats() * F;
    values = keys + BLOCK_TOKENS * shape.keyWidth() * F;
    queries.reserve((long) rows * shape.keyWidth());
    // Products may write a tile of rows beyond the last.
    scores.reserve((long) (rows + Rows.TILE) * stride);
    contexts.reserve((long) (rows + Rows.TILE) * shape.valueWidth());
    if (rows > sums.length) {
      sums = new float[rows];
    }
    for (int row = 0; row < rows; row++) {
      Memory.copy(
          allQueries + head(row) * shape.keyWidth() * F,
          queries.address() + row * (shape.keyWidth() * F),
          shape.keyWidth());
    }
  }

  /** Blocks that its tokens see. */
  int blocks() {
    return blocks;
  }

  /**
   * Queries by keys of blocks {@code from} to {@code end - 1} of those it sees.
   *
   * @param from even
   */
  void scores(int from, int end) {
    int keyWidth = shape.keyWidth();
    for (int b = from; b < end; b += 2) {
      long keys0 = keys + block(b);
      long keys1 = keys + block(Math.min(b + 1, blocks - 1));
      for (int row = 0; row < rows; row += products.maxRows()) {
        products.scores(
            Math.min(products.maxRows(), rows - row),
            queries.address() + row * (keyWidth * F),
            keyWidth,
            keys0,
            keys1,
            wanted(b + AHEAD),
            wanted(b + 1 + AHEAD),
            scores.address() + ((long) row * stride + b * BLOCK_TOKENS) * F,
            stride * F);
      }
    }
  }

  /** The exponentials of all scores, and their sums. */
  void exponentials() {
    int origin = firstBlock * BLOCK_TOKENS;
    for (int row = 0; row < rows; row++) {
      int position = step.position(unit.firstToken() + row % unit.tokens());
      sums[row] =
          Rows.exponentials(
              scores.address() + (long) row * stride * F,
              firstSeen(position) - origin,
              position + 1 - origin,
              stride);
    }
  }

  /**
   * Exponentials by some columns of the values, and what follows of it.
   *
   * @param output {@code [T, heads, valueWidth]}
   */
  void contexts(int column, int columns, long output) {
    long rowBytes = shape.valueWidth() * F;
    long to = contexts.address() + column * F;
    for (int row = 0; row < rows; row++) {
      Memory.clear(to + row * rowBytes, columns);
    }
    int end = step.position(unit.firstToken() + unit.tokens() - 1) + 1 - firstBlock * BLOCK_TOKENS;
    for (int b = 0; b < blocks; b++) {
      // Beyond the last token a block holds whatever was there before, NaN perhaps.
      int filled = Math.min(BLOCK_TOKENS, end - b * BLOCK_TOKENS);
      long next = wanted(blocks + b + AHEAD) + column * F;
      for (int row = 0; row < rows; row += products.maxRows()) {
        products.contexts(
            Math.min(products.maxRows(), rows - row),
            scores.address() + ((long) row * stride + b * BLOCK_TOKENS) * F,
            stride * F,
            values + block(b) + column * F,
            filled,
            rowBytes,
            columns,
            next,
            to + row * rowBytes);
      }
    }
    for (int row = 0; row < rows; row++) {
      Rows.scale(
          to + row * rowBytes, output + head(row) * rowBytes + column * F, 1 / sums[row], columns);
    }
  }

  /**
   * Where a row is among the heads of all tokens: row r is query head r / tokens of the group and
   * token r % tokens.
   */
  private long head(int row) {
    return (long) (unit.firstToken() + row % unit.tokens()) * shape.heads()
        + unit.head() * shape.group()
        + row / unit.tokens();
  }

  /** The keys of that block, or when they are all read, the values of those from the first on. */
  private long wanted(int index) {
    return index < blocks
        ? keys + block(index)
        : values + block(Math.min(index - blocks, blocks - 1));
  }

  /** Where a block of those that are seen stands in its plane, in bytes. */
  private long block(int index) {
    return (long) step.block(unit.firstToken(), firstBlock + index) * shape.blockFloats() * F;
  }

  private int firstSeen(int position) {
    return (int) Math.max(0, position - (long) window + 1);
  }

  /** Bytes outside the heap. */
  long bytes() {
    return queries.bytes() + scores.bytes() + contexts.bytes();
  }
}
