package io.epidote.trainer;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.router.auto.RequestClassifier;
import io.epidote.router.auto.TextFeatures;
import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.Prompt;
import io.epidote.scenes.Split;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Trains the classifier behind {@code scenes:auto} on training prompts alone. Words of a prompt are
 * hidden at random, so that no single word decides and unknown ones make it unsure.
 */
final class ClassifierTraining {
  static final int BUCKETS = 2048;
  private static final int PROMPTS = 6_000;
  private static final int EPOCHS = 12;
  private static final double RATE = 0.5;
  private static final double DECAY = 1e-5;

  /** Share of a prompt's words that are hidden. */
  private static final double HIDDEN = 0.2;

  /** Below this the base answers: with fewer than seven in ten sure, a wrong form is likely. */
  private static final double THRESHOLD = 0.7;

  private record Example(int[] features, int label) {}

  private final List<String> labels = new ArrayList<>(List.of(RequestClassifier.BASE));
  private final float[] bias;
  private final float[][] weights;
  private final SplittableRandom random = new SplittableRandom(5);

  private ClassifierTraining() {
    for (AnswerForm form : AnswerForm.values()) {
      labels.add(form.word());
    }
    this.bias = new float[labels.size()];
    this.weights = new float[labels.size()][BUCKETS];
  }

  /** Trains and writes the file. */
  static void run(Path file) throws IOException {
    new ClassifierTraining().train(file);
  }

  /** The label that a prompt should get. */
  static String label(Prompt prompt) {
    return prompt.form().map(AnswerForm::word).orElse(RequestClassifier.BASE);
  }

  private void train(Path file) throws IOException {
    List<Prompt> prompts = new ArrayList<>();
    for (int i = 0; i < PROMPTS; i++) {
      prompts.add(Prompt.of(Split.TRAINING, 1, i));
    }
    int steps = EPOCHS * PROMPTS;
    for (int step = 0; step < steps; step++) {
      step(example(prompts.get(random.nextInt(PROMPTS))), RATE * (1 - step / (double) steps));
    }
    double temperature = temperature();
    for (float[] row : weights) {
      round(row);
    }
    round(bias);
    write(file, temperature);
  }

  private void step(Example example, double rate) {
    double[] p = model(1).probabilities(example.features());
    double scale = 1 / Math.sqrt(Math.max(1, example.features().length));
    for (int label = 0; label < p.length; label++) {
      double error = p[label] - (label == example.label() ? 1 : 0);
      bias[label] -= (float) (0.1 * rate * error);
      for (int feature : example.features()) {
        float w = weights[label][feature];
        weights[label][feature] = (float) (w - rate * (scale * error + DECAY * w));
      }
    }
  }

  /** The temperature with the least loss on other prompts with hidden words. */
  private double temperature() {
    List<Example> examples = new ArrayList<>();
    for (int i = 0; i < 2_000; i++) {
      examples.add(example(Prompt.of(Split.TRAINING, 2, i)));
    }
    double best = 1;
    double least = Double.POSITIVE_INFINITY;
    for (double temperature = 0.3; temperature < 4; temperature *= 1.05) {
      RequestClassifier model = model(temperature);
      double loss = 0;
      for (Example example : examples) {
        loss -= Math.log(model.probabilities(example.features())[example.label()]);
      }
      if (loss < least) {
        least = loss;
        best = temperature;
      }
    }
    return best;
  }

  private RequestClassifier model(double temperature) {
    return new RequestClassifier(labels, bias, weights, temperature, THRESHOLD);
  }

  private Example example(Prompt prompt) {
    StringBuilder text = new StringBuilder();
    for (String word : prompt.text().split(" ")) {
      text.append(random.nextDouble() < HIDDEN ? "unknown" + random.nextInt(10_000) : word);
      text.append(' ');
    }
    return new Example(TextFeatures.of(text.toString(), BUCKETS), labels.indexOf(label(prompt)));
  }

  private static void round(float[] values) {
    for (int i = 0; i < values.length; i++) {
      values[i] = Math.round(values[i] * 1000) / 1000f;
    }
  }

  private void write(Path file, double temperature) throws IOException {
    ObjectMapper json = new ObjectMapper();
    ObjectNode root = json.createObjectNode();
    root.put("type", "word-pair-softmax").put("version", 1).put("buckets", BUCKETS);
    root.put("temperature", Math.round(temperature * 1000) / 1000.0).put("threshold", THRESHOLD);
    ArrayNode names = root.putArray("labels");
    labels.forEach(names::add);
    ArrayNode biases = root.putArray("bias");
    for (float value : bias) {
      biases.add(value);
    }
    ObjectNode rows = root.putObject("weights");
    for (int label = 0; label < weights.length; label++) {
      ArrayNode row = rows.putArray(labels.get(label));
      for (float value : weights[label]) {
        row.add(value);
      }
    }
    Files.createDirectories(file.toAbsolutePath().getParent());
    Files.writeString(file, json.writeValueAsString(root) + "\n");
  }

  /**
   * Asks a classifier for the labels of held-out prompts, and prints what came of it.
   *
   * @param count prompts
   */
  static void evaluate(Path file, long seed, int count) {
    RequestClassifier classifier = RequestClassifier.load(file);
    List<Prompt> prompts = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      prompts.add(Prompt.of(Split.HELD_OUT, seed, i));
    }
    int right = 0;
    int fellBack = 0;
    double confidence = 0;
    for (Prompt prompt : prompts) {
      RequestClassifier.Choice choice = classifier.choose(prompt.text());
      boolean isRight = choice.label().equals(label(prompt));
      right += isRight ? 1 : 0;
      confidence += choice.confidence();
      if (!isRight) {
        System.out.printf(
            java.util.Locale.ROOT,
            "'%s': expected %s, got %s (%.2f)%n",
            prompt.text(),
            label(prompt),
            choice.label(),
            choice.confidence());
        fellBack += choice.label().equals(RequestClassifier.BASE) ? 1 : 0;
      }
    }
    long started = System.nanoTime();
    for (Prompt prompt : prompts) {
      classifier.choose(prompt.text());
    }
    System.out.printf(
        java.util.Locale.ROOT,
        "right %.1f %% of %d (mean confidence %.1f %%), wrongly left to the base %d, %.1f us each%n",
        100.0 * right / count,
        count,
        100 * confidence / count,
        fellBack,
        (System.nanoTime() - started) / 1e3 / count);
  }
}
