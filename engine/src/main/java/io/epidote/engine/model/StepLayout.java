package io.epidote.engine.model;

import io.epidote.engine.kernel.AdapterStep;
import io.epidote.engine.kernel.PagedStep;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** A step's chunks as the arrays that {@link DecoderGraph} and attention take, packed. */
record StepLayout(
    int tokens,
    int mediaTokens,
    long[] tokenIds,
    ByteBuffer mediaRows,
    long[] mediaPositions,
    long[] logitRows,
    PagedStep paged,
    List<AdapterStep.Part> adapters) {

  static StepLayout of(List<SequenceChunk> batch, DecoderShape shape, long[] planes) {
    int tokens = 0;
    int mediaTokens = 0;
    for (SequenceChunk chunk : batch) {
      check(chunk, shape);
      tokens += chunk.tokenIds().length;
      mediaTokens += chunk.media().stream().mapToInt(SequenceChunk.MediaRows::tokens).sum();
    }
    long[] tokenIds = new long[tokens];
    int[] positions = new int[tokens];
    int[] sequences = new int[tokens];
    int[] starts = new int[batch.size()];
    int[][] blocks = new int[batch.size()][];
    int rowBytes = shape.hiddenSize() * Float.BYTES;
    ByteBuffer mediaRows =
        ByteBuffer.allocateDirect(mediaTokens * rowBytes).order(ByteOrder.nativeOrder());
    long[] mediaPositions = new long[mediaTokens];
    long[] logitRows = new long[(int) batch.stream().filter(SequenceChunk::wantLogits).count()];

    int token = 0;
    int media = 0;
    int logit = 0;
    for (int s = 0; s < batch.size(); s++) {
      SequenceChunk chunk = batch.get(s);
      for (SequenceChunk.MediaRows rows : chunk.media()) {
        mediaRows.put(rows.rows().slice(0, rows.tokens() * rowBytes));
        for (int i = 0; i < rows.tokens(); i++) {
          mediaPositions[media++] = token + rows.offset() + i;
        }
      }
      starts[s] = token;
      blocks[s] = chunk.blocks();
      for (int i = 0; i < chunk.tokenIds().length; i++, token++) {
        tokenIds[token] = chunk.tokenIds()[i];
        positions[token] = chunk.pastTokens() + i;
        sequences[token] = s;
      }
      if (chunk.wantLogits()) {
        logitRows[logit++] = token - 1;
      }
    }
    return new StepLayout(
        tokens,
        mediaTokens,
        tokenIds,
        mediaRows.flip(),
        mediaPositions,
        logitRows,
        new PagedStep(planes, positions, sequences, starts, blocks),
        adapters(batch, starts));
  }

  /**
   * @param starts of each chunk, its first token in the step
   */
  private static List<AdapterStep.Part> adapters(List<SequenceChunk> batch, int[] starts) {
    Map<LoadedAdapter, IntStream.Builder> tokens = new LinkedHashMap<>();
    for (int s = 0; s < batch.size(); s++) {
      SequenceChunk chunk = batch.get(s);
      if (chunk.adapter().isPresent()) {
        IntStream.Builder own =
            tokens.computeIfAbsent(chunk.adapter().get(), _ -> IntStream.builder());
        for (int i = 0; i < chunk.tokenIds().length; i++) {
          own.add(starts[s] + i);
        }
      }
    }
    return tokens.entrySet().stream()
        .map(entry ->
            new AdapterStep.Part(
                entry.getKey().name(),
                entry.getKey().weights().layers(),
                entry.getValue().build().toArray()))
        .toList();
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
