package io.epidote.engine.model;

/**
 * The sizes that a node needs to know of a decoder.
 *
 * @param contextTokens the longest sequence, prompt and answer together
 */
public record DecoderShape(
    int layers, int kvHeads, int headDim, int hiddenSize, int vocabulary, int contextTokens) {
  /** Tokens in a KV block. */
  public static final int BLOCK_TOKENS = 16;

  /** Bytes of one KV block: {@code [layers, 2, 16, kvHeads * headDim]} float32. */
  public int kvBlockBytes() {
    return layers * 2 * BLOCK_TOKENS * kvHeads * headDim * Float.BYTES;
  }

  /** KV blocks that this many tokens fill. */
  public static int blocksFor(int tokens) {
    return (tokens + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
  }
}
