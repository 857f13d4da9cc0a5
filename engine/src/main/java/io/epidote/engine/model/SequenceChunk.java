package io.epidote.engine.model;

import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;

/**
 * The next tokens of one sequence.
 *
 * @param tokenIds the tokens to run, at positions {@code pastTokens...}
 * @param pastTokens tokens whose keys and values are already in the blocks
 * @param blocks the sequence's block table, covering past and new tokens
 * @param media media tokens that replace some of {@code tokenIds}
 * @param wantLogits whether the logits after the chunk's last token are needed
 * @param adapter of the decoder that runs it, taken for the sequence; empty for the base
 */
public record SequenceChunk(
    int[] tokenIds,
    int pastTokens,
    int[] blocks,
    List<MediaRows> media,
    boolean wantLogits,
    Optional<LoadedAdapter> adapter) {
  /** For the base. */
  public SequenceChunk(
      int[] tokenIds, int pastTokens, int[] blocks, List<MediaRows> media, boolean wantLogits) {
    this(tokenIds, pastTokens, blocks, media, wantLogits, Optional.empty());
  }

  /**
   * Media tokens in place of the embeddings of {@code tokens} tokens from {@code offset} in the
   * chunk.
   *
   * @param rows {@code [tokens, hidden]} float32 in native order, from position 0
   */
  public record MediaRows(int offset, int tokens, ByteBuffer rows) {}
}
