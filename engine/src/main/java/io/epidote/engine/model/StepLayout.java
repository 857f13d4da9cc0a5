package io.epidote.engine.model;

import static io.epidote.engine.model.DecoderShape.BLOCK_TOKENS;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/**
 * A step's chunks as the arrays that {@link DecoderGraph} and {@link AttentionGraph} take. Tokens
 * are packed sequence after sequence; around attention each sequence has room for the longest
 * chunk.
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
    long[] queryRows,
    long[] newRows,
    long[] contextRows,
    long[] pastKeyRuns,
    long[] pastValueRuns,
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
    int kvHeads = shape.kvHeads();
    int group = shape.heads() / kvHeads;
    long[] queryRows = new long[sequences * shape.heads() * longest];
    long[] newRows = new long[sequences * kvHeads * longest];
    long[] contextRows = new long[tokens * shape.heads()];
    long[] pastKeyRuns = new long[sequences * kvHeads * pastBlocks];
    long[] pastValueRuns = new long[pastKeyRuns.length];
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
      for (int head = 0; head < kvHeads; head++) {
        int place = s * kvHeads + head;
        for (int q = 0; q < longest; q++) {
          // Padding repeats the first token; its result is never read back.
          int row = token + (q < count ? q : 0);
          for (int g = 0; g < group; g++) {
            queryRows[(place * group + g) * longest + q] =
                (long) row * shape.heads() + head * group + g;
          }
          newRows[place * longest + q] = (long) row * kvHeads + head;
        }
        for (int g = 0; g < group; g++) {
          for (int q = 0; q < count; q++) {
            contextRows[(token + q) * shape.heads() + head * group + g] =
                ((long) place * group + g) * longest + q;
          }
        }
        for (int b = 0; b * BLOCK_TOKENS < chunk.pastTokens(); b++) {
          long run = (long) chunk.blocks()[b] * shape.kvRows() + head;
          pastKeyRuns[place * pastBlocks + b] = run;
          pastValueRuns[place * pastBlocks + b] = run + kvHeads;
        }
      }
      for (int q = 0; q < count; q++) {
        tokenIds[token + q] = chunk.tokenIds()[q];
        positions[token + q] = chunk.pastTokens() + q;
      }
      token += count;
      pastLengths[s] = chunk.pastTokens();
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
        queryRows,
        newRows,
        contextRows,
        pastKeyRuns,
        pastValueRuns,
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
