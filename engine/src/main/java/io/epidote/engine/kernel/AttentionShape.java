package io.epidote.engine.kernel;

import java.util.function.IntUnaryOperator;

/**
 * The sizes of attention over paged keys and values.
 *
 * @param heads query heads, a multiple of {@code kvHeads}
 * @param keyWidth floats of a query and of a key
 * @param valueWidth floats of a value
 * @param scale that products of queries and keys are multiplied by
 * @param window for a layer, how many tokens up to and with its own a token sees
 */
public record AttentionShape(
    int heads,
    int kvHeads,
    int keyWidth,
    int valueWidth,
    float scale,
    Rotation rotation,
    IntUnaryOperator window) {
  /** Tokens in a block. */
  public static final int BLOCK_TOKENS = 16;

  /**
   * Rotary position embedding: elements {@code start + i} and {@code start + width / 2 + i} of a
   * query or key turn together.
   *
   * @param cosines {@code [positions, width / 2]}
   * @param sines likewise
   */
  public record Rotation(int start, int width, float[] cosines, float[] sines) {}

  /** Floats of a block's keys and values in one layer, {@code [kvHeads, keys then values]}. */
  public int blockFloats() {
    return kvHeads * headFloats();
  }

  /**
   * Floats of one head in a block: keys {@code [keyWidth, 16]}, values {@code [16, valueWidth]}.
   */
  int headFloats() {
    return BLOCK_TOKENS * (keyWidth + valueWidth);
  }

  /** Query heads that read one KV head. */
  int group() {
    return heads / kvHeads;
  }

  /** Floats that a token brings: its queries, its keys, its values. */
  int tokenFloats() {
    return heads * keyWidth + kvHeads * (keyWidth + valueWidth);
  }
}
