package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.LANES;

/**
 * One head of a tile for {@link TileAttention}. What belongs to a position stands {@code hidden}
 * floats, or three times as many, behind that of the position before.
 *
 * @param qkv the first position's query; its key and its value stand {@code hidden} floats further
 * @param biases of queries; those of keys and values stand {@code hidden} floats further
 * @param output where the first position's context goes
 * @param hidden floats of all heads
 * @param width floats of the head
 */
record TileHead(long qkv, long biases, long output, int hidden, int width, int positions) {
  private static final long F = Float.BYTES;

  /** Values that are read for all queries before the next ones are: they stay in the cache. */
  private static final int DEPTH = 128;

  /** Softmax's powers of e are powers of 2 of scores that are as many times larger. */
  private static final double LOG2_E = 1 / Math.log(2);

  /** Attends from the positions {@code first} to {@code end - 1}. */
  void attend(TileScratch scratch, int first, int end) {
    scratch.reserve(positions);
    for (int position = 0; position < positions; position++) {
      long row = row(position);
      // A key's bias adds the same to all scores of a query, which softmax does not see.
      TileRows.admitKey(row + hidden * F, width, scratch.keys(), position);
      TileRows.admitValue(
          row + 2 * hidden * F,
          biases + 2 * hidden * F,
          width,
          scratch.values(),
          positions,
          position);
    }
    for (int query = first; query < end; query += TileScratch.QUERIES) {
      attendTogether(scratch, query, Math.min(TileScratch.QUERIES, end - query));
    }
  }

  private long row(int position) {
    return qkv + (long) position * 3 * hidden * F;
  }

  private void attendTogether(TileScratch scratch, int first, int count) {
    float scale = (float) (LOG2_E / Math.sqrt(width));
    for (int i = 0; i < count; i++) {
      TileRows.admitQuery(
          row(first + i), biases, scale, width, scratch.queries() + i * (width * F));
    }
    // What fills the last six rows up is computed of whatever is there, and not read.
    int rows = (count + Panels.ROWS - 1) / Panels.ROWS * Panels.ROWS;
    score(scratch, rows);
    int stride = TileScratch.stride(positions);
    float[] sums = new float[count];
    for (int i = 0; i < count; i++) {
      long scores = scratch.scores() + i * (stride * F);
      TileRows.fill(scores, positions);
      sums[i] = TileRows.powersOfTwo(scores, stride, TileRows.largest(scores, stride));
    }
    sum(scratch, rows);
    for (int i = 0; i < count; i++) {
      Rows.scale(
          scratch.contexts() + i * (scratch.contextStride() * F),
          output + (long) (first + i) * hidden * F,
          1 / sums[i],
          width);
    }
  }

  /** Products of the queries with all keys. */
  void score(TileScratch scratch, int rows) {
    int stride = TileScratch.stride(positions);
    for (int key = 0; key < stride; key += Panels.COLUMNS) {
      for (int row = 0; row < rows; row += Panels.ROWS) {
        Panels.product(
            scratch.queries() + row * (width * F),
            width,
            scratch.keys() + key * (width * F),
            width,
            scratch.zeros(),
            0,
            scratch.scores() + (row * stride + key) * F,
            stride);
      }
    }
  }

  /** Sums of all values, each multiplied by its share. */
  void sum(TileScratch scratch, int rows) {
    int stride = TileScratch.stride(positions);
    int to = scratch.contextStride();
    Memory.clear(scratch.contexts(), (long) rows * to);
    for (int key = 0; key < positions; key += DEPTH) {
      int depth = Math.min(DEPTH, positions - key);
      for (int column = 0; column < to; column += Panels.COLUMNS) {
        long panel = scratch.values() + column * (positions * F);
        for (int row = 0; row < rows; row += Panels.ROWS) {
          long shares = scratch.scores() + (row * stride + key) * F;
          long sums = scratch.contexts() + (row * to + column) * F;
          if (to - column >= Panels.COLUMNS) {
            long values = panel + key * (Panels.COLUMNS * F);
            Panels.product(shares, stride, values, depth, sums, to, sums, to);
          } else {
            Panels.narrowProduct(shares, stride, panel + key * (LANES * F), depth, sums, to);
          }
        }
      }
    }
  }
}
