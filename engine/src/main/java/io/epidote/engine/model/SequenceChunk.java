package io.epidote.engine.model;

import java.nio.ByteBuffer;
import java.util.List;

/**
 * The next tokens of one sequence.
 *
 * @param tokenIds the tokens to run, at positions {@code pastTokens...}
 * @param pastTokens tokens whose keys and values are already in the blocks
 * @param blocks the sequence's block table, covering past and new tokens
 * @param media media tokens that replace some of {@code tokenIds}
 * @param wantLogits whether the logits after the chunk's last token are needed
 */
public record SequenceChunk(
    int[] tokenIds, int pastTokens, int[] blocks, List<MediaRows> media, boolean wantLogits) {
  /**
   * Media tokens in place of the embeddings of {@code tokens} tokens from {@code offset} in the
   * chunk.
   *
   * @param rows {@code [tokens, hidden]} float32 in native order, from position 0
   */
  public record MediaRows(int offset, int tokens, ByteBuffer rows) {}
}
