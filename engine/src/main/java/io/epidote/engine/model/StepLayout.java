package io.epidote.engine.model;

import static io.epidote.engine.model.DecoderShape.BLOCK_TOKENS;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * A step's chunks as the arrays that {@link DecoderGraph} takes. Tokens are packed sequence after
 * sequence; {@code padIndex [sequences, longestChunk]} and {@code unpadIndex [tokens]} go between
 * packed and padded order.
 */
record StepLayout(
    int sequences,
    int tokens,
    int longestChunk,
    int pastBlocks,
    int mediaTokens,
    long[] tokenIds,
    long[] positions,
    ByteBuffer mediaRows,
    long[] mediaPositions,
    long[] padIndex,
    long[] unpadIndex,
    long[] blockTable,
    long[] pastLengths,
    long[] logitRows) {

  static StepLayout of(List<SequenceChunk> batch, DecoderShape shape) {
    int sequences = batch.size();
    int tokens = 0;
    int longest = 0;
    int mediaTokens = 0;
    // At least one column, so that no dimension is zero; past_lengths masks it.
    int pastBlocks = 1;
    for (SequenceChunk chunk : batch) {
      check(chunk, shape);
      tokens += chunk.tokenIds().length;
      longest = Math.max(longest, chunk.tokenIds().length);
      pastBlocks = Math.max(pastBlocks, DecoderShape.blocksFor(chunk.pastTokens()));
      mediaTokens += chunk.media().stream().mapToInt(SequenceChunk.MediaRows::tokens).sum();
    }
    long[] tokenIds = new long[tokens];
    long[] positions = new long[tokens];
    int rowBytes = shape.hiddenSize() * Float.BYTES;
    ByteBuffer mediaRows =
        ByteBuffer.allocateDirect(mediaTokens * rowBytes).order(ByteOrder.nativeOrder());
    long[] mediaPositions = new long[mediaTokens];
    long[] padIndex = new long[sequences * longest];
    long[] unpadIndex = new long[tokens];
    long[] blockTable = new long[sequences * pastBlocks];
    long[] pastLengths = new long[sequences];
    long[] logitRows = new long[(int) batch.stream().filter(SequenceChunk::wantLogits).count()];

    int token = 0;
    int media = 0;
    int logit = 0;
    for (int s = 0; s < sequences; s++) {
      SequenceChunk chunk = batch.get(s);
      for (SequenceChunk.MediaRows rows : chunk.media()) {
        mediaRows.put(rows.rows().slice(0, rows.tokens() * rowBytes));
        for (int i = 0; i < rows.tokens(); i++) {
          mediaPositions[media++] = token + rows.offset() + i;
        }
      }
      int count = chunk.tokenIds().length;
      for (int q = 0; q < longest; q++) {
        // Padding repeats the first token; its result is never read back.
        padIndex[s * longest + q] = token + (q < count ? q : 0);
      }
      for (int q = 0; q < count; q++) {
        tokenIds[token + q] = chunk.tokenIds()[q];
        positions[token + q] = chunk.pastTokens() + q;
        unpadIndex[token + q] = (long) s * longest + q;
      }
      token += count;
      pastLengths[s] = chunk.pastTokens();
      for (int b = 0; b * BLOCK_TOKENS < chunk.pastTokens(); b++) {
        blockTable[s * pastBlocks + b] = chunk.blocks()[b];
      }
      if (chunk.wantLogits()) {
        logitRows[logit++] = token - 1;
      }
    }
    return new StepLayout(
        sequences,
        tokens,
        longest,
        pastBlocks,
        mediaTokens,
        tokenIds,
        positions,
        mediaRows.flip(),
        mediaPositions,
        padIndex,
        unpadIndex,
        blockTable,
        pastLengths,
        logitRows);
  }

  private static void check(SequenceChunk chunk, DecoderShape shape) {
    int end = chunk.pastTokens() + chunk.tokenIds().length;
    if (chunk.tokenIds().length == 0 || end > shape.contextTokens()) {
      throw new IllegalArgumentException(
          "A chunk of %d tokens after %d does not fit the context of %d"
              .formatted(chunk.tokenIds().length, chunk.pastTokens(), shape.contextTokens()));
    }
    if (chunk.blocks().length < DecoderShape.blocksFor(end)) {
      throw new IllegalArgumentException(
          "%d blocks do not hold %d tokens".formatted(chunk.blocks().length, end));
    }
    for (int id : chunk.tokenIds()) {
      if (id < 0 || id >= shape.vocabulary()) {
        throw new IllegalArgumentException(
            "Token %d is outside the vocabulary of %d".formatted(id, shape.vocabulary()));
      }
    }
  }
}
