package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.AttentionShape.BLOCK_TOKENS;

/** With the Vector API, for processors that no code is generated for. */
final class PortableFloatProducts implements FloatProducts {
  private static final long F = Float.BYTES;

  @Override
  public int maxRows() {
    return Rows.TILE;
  }

  @Override
  public void scores(
      int count,
      long queries,
      int width,
      long keys0,
      long keys1,
      long next0,
      long next1,
      long to,
      long toBytes) {
    // A tile always has four rows; those beyond the count repeat the last.
    long q1 = queries + Math.min(1, count - 1) * width * F;
    long q2 = queries + Math.min(2, count - 1) * width * F;
    long q3 = queries + (count - 1) * width * F;
    for (int lane = 0; lane < BLOCK_TOKENS; lane += Memory.LANES) {
      Rows.scores(
          queries,
          q1,
          q2,
          q3,
          keys0 + lane * F,
          keys1 + lane * F,
          width,
          to + lane * F,
          to + (BLOCK_TOKENS + lane) * F,
          (int) (toBytes / F));
    }
  }

  @Override
  public void contexts(
      int count,
      long shares,
      long shareBytes,
      long values,
      int tokens,
      long rowBytes,
      int columns,
      long next,
      long contexts) {
    Rows.contexts(shares, (int) (shareBytes / F), values, tokens, rowBytes, columns, contexts);
  }
}
