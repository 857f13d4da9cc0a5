package io.epidote.engine.sampling;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.model.Logits;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class BatchSamplerTest {
  private static final int VOCABULARY = 20_000;

  private static Logits logits(int rows) {
    SplittableRandom random = new SplittableRandom(3);
    float[] values = new float[rows * VOCABULARY];
    for (int i = 0; i < values.length; i++) {
      values[i] = 3 * (float) random.nextGaussian();
    }
    return new Logits(FloatBuffer.wrap(values), rows, VOCABULARY);
  }

  private static SamplingOptions options(int row) {
    return switch (row % 4) {
      case 0 -> new SamplingOptions(10, 0, 1, 0, row, false, -1);
      case 1 -> new SamplingOptions(10, 1, 1, 0, row, false, -1);
      case 2 -> new SamplingOptions(10, 0.7f, 0.9f, 0, row, false, 2);
      default -> new SamplingOptions(10, 1.2f, 1, 40, row, false, -1);
    };
  }

  @Test
  void aRowsTokenDoesNotDependOnTheThreads() {
    int rows = 64;
    Logits logits = logits(rows);
    List<BatchSampler.Row> wanted = new ArrayList<>();
    List<SampledToken> alone = new ArrayList<>();
    for (int row = 0; row < rows; row++) {
      wanted.add(new BatchSampler.Row(options(row), 100 + row));
      alone.add(new Sampler().sample(logits.row(row), options(row), 100 + row));
    }
    for (int threads : new int[] {1, 2, 5}) {
      try (BatchSampler sampler = new BatchSampler(threads)) {
        for (int step = 0; step < 20; step++) {
          assertThat(sampler.sample(logits, wanted)).isEqualTo(alone);
        }
      }
    }
  }

  @Test
  void greedyRowsOfManySequencesAreChosenByThreadsTogether() {
    int rows = 64;
    Logits logits = logits(rows);
    List<BatchSampler.Row> wanted = new ArrayList<>();
    for (int row = 0; row < rows; row++) {
      logits.values().put(row * VOCABULARY + 17 * row, 100);
      wanted.add(new BatchSampler.Row(options(0), 0));
    }
    try (BatchSampler sampler = new BatchSampler(3)) {
      List<SampledToken> tokens = sampler.sample(logits, wanted);
      for (int row = 0; row < rows; row++) {
        assertThat(tokens.get(row).tokenId()).isEqualTo(17 * row);
      }
    }
  }

  @Test
  void noRowsAreNoTokens() {
    try (BatchSampler sampler = new BatchSampler(2)) {
      assertThat(sampler.sample(logits(0), List.of())).isEmpty();
    }
  }

  @Test
  void aFailureReachesTheCallerAfterAllRows() {
    // The second row is cut short.
    Logits broken = new Logits(FloatBuffer.allocate(VOCABULARY + 1), 2, VOCABULARY);
    BatchSampler.Row draw = new BatchSampler.Row(options(1), 0);
    try (BatchSampler sampler = new BatchSampler(2)) {
      assertThatThrownBy(() -> sampler.sample(broken, List.of(draw, draw)))
          .isInstanceOf(IndexOutOfBoundsException.class);
      assertThat(sampler.sample(logits(2), List.of(draw, draw))).hasSize(2);
    }
  }
}
