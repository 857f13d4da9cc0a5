package io.epidote.trainer;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.scenes.SceneSet;
import io.epidote.scenes.TaskKind;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The model that ships, as its own trainer reads it. */
class ShippedModelTest {
  private static final Path FOLDER = Path.of("../models/scenes");

  @ParameterizedTest
  @EnumSource(TaskKind.class)
  void itAnswersTasksThatItNeverSaw(TaskKind kind) throws IOException {
    Vocabulary vocabulary = new Vocabulary();
    int exact = 0;
    try (ReferenceModel model = new ReferenceModel(FOLDER)) {
      for (int i = 0; i < 25; i++) {
        Sample sample = Sample.of(vocabulary, SceneSet.heldOut(77, i, kind), false);
        int[] pair = sample.pairs().getFirst().ids();
        int answerFrom = sample.prefix().length + sample.pairs().getFirst().answerFrom();
        long[] ids = Arrays.stream(sample.prefix()).asLongStream().toArray();
        ids = Arrays.copyOf(ids, ids.length + pair.length);
        for (int j = 0; j < pair.length; j++) {
          ids[sample.prefix().length + j] = pair[j];
        }
        float[][] logits = model.logits(ids, sample.tiles().toArray(float[][]::new));
        boolean right = true;
        for (int j = answerFrom; j < ids.length; j++) {
          right &= argMax(logits[j - 1]) == ids[j];
        }
        exact += right ? 1 : 0;
      }
    }
    // 95 % and more over hundreds of tasks (docs/scenes.md); over 25 a miss or two is luck.
    assertThat(exact).isGreaterThanOrEqualTo(22);
  }

  @Test
  void imageTokensMustMatchTheTiles() throws IOException {
    try (ReferenceModel model = new ReferenceModel(FOLDER)) {
      assertThatThrownBy(
              () -> model.logits(new long[] {Vocabulary.USER, Vocabulary.IMAGE}, new float[0][]))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("1 image tokens");
    }
  }

  private static int argMax(float[] values) {
    int best = 0;
    for (int i = 1; i < values.length; i++) {
      best = values[i] > values[best] ? i : best;
    }
    return best;
  }
}
