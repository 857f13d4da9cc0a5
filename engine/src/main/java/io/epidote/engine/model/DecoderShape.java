package io.epidote.engine.model;

import io.epidote.engine.kernel.AttentionShape;
import io.epidote.engine.memory.BlockPool;

/**
 * The sizes that a node needs to know of a decoder.
 *
 * @param attention of every layer
 * @param contextTokens the longest sequence, prompt and answer together
 */
public record DecoderShape(
    int layers, AttentionShape attention, int hiddenSize, int vocabulary, int contextTokens) {
  /** Tokens in a KV block. */
  public static final int BLOCK_TOKENS = AttentionShape.BLOCK_TOKENS;

  /** Bytes of one layer of a KV block, float32. */
  public int kvPlaneBytes() {
    return attention.blockFloats() * Float.BYTES;
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
