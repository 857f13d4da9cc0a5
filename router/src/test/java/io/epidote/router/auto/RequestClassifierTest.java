package io.epidote.router.auto;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RequestClassifierTest {
  private static final int BUCKETS = 4096;
  private static final String FILE =
      """
      {"type":"word-pair-softmax","version":1,"buckets":2,"temperature":1.0,"threshold":0.7,
       "labels":["base","french"],"bias":[0.0,2.0],"weights":{"base":[0,0],"french":[0,0]}}
      """;

  @Test
  void aTextWithTheWordsOfALabelGetsIt() {
    RequestClassifier classifier = knowing("in french", 0.7);
    assertThat(classifier.choose("answer IN French: what color is it?").label())
        .isEqualTo("french");
    assertThat(classifier.choose("what color is it?").label()).isEqualTo(RequestClassifier.BASE);
  }

  @Test
  void anUnsureChoiceIsTheBase() {
    String text = "answer in french";
    double confidence = knowing("in french", 0).choose(text).confidence();
    assertThat(confidence).isBetween(0.5, 0.9999);
    assertThat(knowing("in french", confidence - 1e-6).choose(text).label()).isEqualTo("french");
    RequestClassifier.Choice unsure = knowing("in french", confidence + 1e-6).choose(text);
    assertThat(unsure.label()).isEqualTo(RequestClassifier.BASE);
    assertThat(unsure.confidence()).isEqualTo(confidence);
  }

  @Test
  void temperatureFlattensProbabilities() {
    float[][] weights = new float[2][BUCKETS];
    int[] none = new int[0];
    double[] sharp =
        new RequestClassifier(List.of("base", "json"), new float[] {0, 2}, weights, 1, 0.5)
            .probabilities(none);
    double[] flat =
        new RequestClassifier(List.of("base", "json"), new float[] {0, 2}, weights, 4, 0.5)
            .probabilities(none);
    assertThat(sharp[1]).isCloseTo(1 / (1 + Math.exp(-2)), within(1e-9));
    assertThat(flat[1]).isCloseTo(1 / (1 + Math.exp(-0.5)), within(1e-9));
  }

  @Property
  void anyTextGetsProbabilities(@ForAll String text) {
    double[] p = knowing("in french", 0.7).probabilities(TextFeatures.of(text, BUCKETS));
    assertThat(Arrays.stream(p).sum()).isCloseTo(1, within(1e-9));
    assertThat(Arrays.stream(p)).allMatch(value -> value >= 0 && value <= 1);
  }

  @Property
  void featuresAreBucketsInOrderAndPunctuationDoesNotCount(@ForAll String text) {
    int[] features = TextFeatures.of(text, BUCKETS);
    assertThat(features).isSorted().doesNotHaveDuplicates();
    assertThat(Arrays.stream(features)).allMatch(f -> f >= 0 && f < BUCKETS);
    assertThat(TextFeatures.of("... " + text + " !", BUCKETS)).isEqualTo(features);
  }

  @Test
  void orderOfWordsCounts() {
    assertThat(TextFeatures.of("left of the circle", 4096))
        .isNotEqualTo(TextFeatures.of("the circle of left", 4096));
  }

  @Test
  void aFileIsRead(@TempDir Path folder) throws IOException {
    Path file = folder.resolve("router.json");
    Files.writeString(file, FILE);
    RequestClassifier classifier = RequestClassifier.load(file);
    assertThat(classifier.labels()).containsExactly("base", "french");
    assertThat(classifier.choose("anything").label()).isEqualTo("french");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "\"version\":1|\"version\":2|version",
        "\"buckets\":2|\"buckets\":3|power of two",
        "\"temperature\":1.0|\"temperature\":0|temperature",
        "\"threshold\":0.7|\"threshold\":7|threshold",
        "[\"base\",\"french\"]|[\"french\",\"base\"]|first",
        "[\"base\",\"french\"]|[\"base\",\"base\"]|twice",
        "[0.0,2.0]|[0.0]|bias has 1 values, expected 2",
        "\"french\":[0,0]|\"french\":[0]|french has 1 values, expected 2",
        "\"french\":[0,0]|\"french\":[0,\"x\"]|expected a number",
        "{\"type\"|{{\"type\"|cannot be read",
      })
  void aBadFileIsToldWhatIsWrong(String from, String to, String message, @TempDir Path folder)
      throws IOException {
    Path file = folder.resolve("router.json");
    assertThat(FILE).contains(from);
    Files.writeString(file, FILE.replace(from, to));
    assertThatThrownBy(() -> RequestClassifier.load(file))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("router.json")
        .hasMessageContaining(message);
  }

  @Test
  void aMissingFileIsAnError(@TempDir Path folder) {
    assertThatThrownBy(() -> RequestClassifier.load(folder.resolve("router.json")))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining("cannot be read");
  }

  /** A classifier for which the words of one phrase speak for French, and nothing else does. */
  private static RequestClassifier knowing(String phrase, double threshold) {
    float[][] weights = new float[2][BUCKETS];
    for (int feature : TextFeatures.of(phrase, BUCKETS)) {
      weights[1][feature] = 6;
    }
    return new RequestClassifier(
        List.of("base", "french"), new float[] {3, 0}, weights, 1, threshold);
  }
}
