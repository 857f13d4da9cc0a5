package io.epidote.trainer;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.router.auto.RequestClassifier;
import io.epidote.scenes.Prompt;
import io.epidote.scenes.Split;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/** The classifier that ships. */
class ShippedClassifierTest {
  private static final RequestClassifier CLASSIFIER =
      RequestClassifier.load(Path.of("../models/scenes-adapters/router.json"));

  @Test
  void itKnowsWordingsThatItNeverSaw() {
    int right = 0;
    for (int i = 0; i < 500; i++) {
      Prompt prompt = Prompt.of(Split.HELD_OUT, 21, i);
      right +=
          CLASSIFIER.choose(prompt.text()).label().equals(ClassifierTraining.label(prompt)) ? 1 : 0;
    }
    assertThat(right).isGreaterThanOrEqualTo(475);
  }

  @Test
  void whatItDoesNotUnderstandGoesToTheBase() {
    for (String text : new String[] {"", "?!", "qwertz uiop asdf", "a b c d e f g h"}) {
      assertThat(CLASSIFIER.choose(text).label()).as(text).isEqualTo(RequestClassifier.BASE);
    }
  }
}
