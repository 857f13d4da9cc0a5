package io.epidote.engine.reference;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.SequenceChunk;
import io.epidote.engine.model.SequenceChunk.MediaRows;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * A decoder's answer, each step run on its own most likely token.
 *
 * @param steps log-probabilities of the whole vocabulary
 */
record GreedyAnswer(List<double[]> steps) {
  static GreedyAnswer of(
      Decoder decoder, List<Integer> promptIds, List<MediaRows> media, int length) {
    int[] prompt = promptIds.stream().mapToInt(id -> id).toArray();
    int tokens = prompt.length + length;
    BlockPool kv = decoder.shape().kvPool(DecoderShape.blocksFor(tokens) + 1);
    // Blocks that are not in a row, so that a mistaken block table shows.
    int[] blocks = kv.tryAllocate(DecoderShape.blocksFor(tokens)).orElseThrow();
    for (int i = 0; i < blocks.length / 2; i++) {
      int other = blocks.length - 1 - i;
      int block = blocks[i];
      blocks[i] = blocks[other];
      blocks[other] = block;
    }
    List<double[]> rows = new ArrayList<>();
    int[] next = prompt;
    int past = 0;
    while (rows.size() < length) {
      List<MediaRows> here = past == 0 ? media : List.of();
      FloatBuffer logits =
          decoder.step(kv, List.of(new SequenceChunk(next, past, blocks, here, true))).row(0);
      rows.add(logProbabilities(logits));
      past += next.length;
      next = new int[] {best(rows.getLast(), 1).getFirst()};
    }
    return new GreedyAnswer(rows);
  }

  /** Both by token and by rank: two tokens that are as good as equal may change places. */
  void assertIs(List<Integer> greedy, List<Golden.Step> golden) {
    for (Golden.Step step : golden) {
      double[] row = steps.get(step.step());
      List<Integer> best = best(row, 5);
      for (int i = 0; i < 5; i++) {
        double expected = step.logProbabilities().get(i);
        assertThat(row[step.tokens().get(i)])
            .as("step %d, token %d", step.step(), step.tokens().get(i))
            .isCloseTo(expected, within(2e-2));
        assertThat(row[best.get(i)])
            .as("step %d, rank %d", step.step(), i)
            .isCloseTo(expected, within(2e-2));
      }
    }
    assertThat(steps.stream().map(row -> best(row, 1).getFirst())).isEqualTo(greedy);
  }

  private static double[] logProbabilities(FloatBuffer logits) {
    double[] row = new double[logits.remaining()];
    double sum = 0;
    for (int i = 0; i < row.length; i++) {
      row[i] = logits.get(i);
      sum += Math.exp(row[i]);
    }
    for (int i = 0; i < row.length; i++) {
      row[i] -= Math.log(sum);
    }
    return row;
  }

  private static List<Integer> best(double[] row, int count) {
    return IntStream.range(0, row.length)
        .boxed()
        .sorted((a, b) -> Double.compare(row[b], row[a]))
        .limit(count)
        .toList();
  }
}
