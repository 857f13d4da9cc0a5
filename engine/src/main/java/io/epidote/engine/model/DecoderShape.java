package io.epidote.engine.model;

import io.epidote.engine.memory.BlockPool;

/**
 * The sizes that a node needs to know of a decoder.
 *
 * @param heads query heads
 * @param kvHeads heads of keys and values; {@code heads} is a multiple of it
 * @param kvRows rows of {@code kvWidth} floats that one token's keys and values fill in a layer:
 *     the keys of each head, then the values of each
 * @param contextTokens the longest sequence, prompt and answer together
 */
public record DecoderShape(
    int layers,
    int heads,
    int kvHeads,
    int kvRows,
    int kvWidth,
    int hiddenSize,
    int vocabulary,
    int contextTokens) {
  /** Tokens in a KV block. */
  public static final int BLOCK_TOKENS = 16;

  /** Bytes of one layer of a KV block: {@code [kvRows, 16, kvWidth]} float32. */
  public int kvPlaneBytes() {
    return kvRows * BLOCK_TOKENS * kvWidth * Float.BYTES;
  }

  /** Bytes of one KV block, all layers. */
  public int kvBlockBytes() {
    return layers * kvPlaneBytes();
  }

  /** A pool of KV blocks, a plane per layer. */
  public BlockPool kvPool(int blocks) {
    return new BlockPool("kv", layers, kvPlaneBytes(), blocks);
  }

  /** KV blocks that this many tokens fill. */
  public static int blocksFor(int tokens) {
    return (tokens + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
  }
}
