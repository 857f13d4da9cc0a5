package io.epidote.router.auto;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Chooses an adapter by a request's text: softmax regression on {@link TextFeatures}, calibrated,
 * and the base when unsure. A choice takes microseconds. Immutable: safe for any number of threads.
 */
public final class RequestClassifier {
  /** The label of the base. */
  public static final String BASE = "base";

  private final int buckets;
  private final List<String> labels;
  private final float[] bias;
  private final float[][] weights;
  private final double temperature;
  private final double threshold;

  /**
   * What a text asks for.
   *
   * @param label an adapter's name, or {@link RequestClassifier#BASE}
   * @param confidence the calibrated probability of the most likely label, which is another one
   *     than {@code label} when it was too low
   */
  public record Choice(String label, double confidence) {}

  /**
   * A classifier.
   *
   * @param labels the first one is {@link #BASE}
   * @param bias one per label
   * @param weights [labels, buckets], a power of two buckets
   * @param temperature what scores are divided by to make probabilities
   * @param threshold probability below which the base is chosen
   */
  public RequestClassifier(
      List<String> labels, float[] bias, float[][] weights, double temperature, double threshold) {
    if (labels.isEmpty()
        || !labels.getFirst().equals(BASE)
        || bias.length != labels.size()
        || weights.length != labels.size()) {
      throw new IllegalArgumentException(
          "labels %s, the first of which must be %s, with %d biases and %d rows of weights"
              .formatted(labels, BASE, bias.length, weights.length));
    }
    this.labels = List.copyOf(labels);
    this.bias = bias;
    this.weights = weights;
    this.buckets = weights[0].length;
    this.temperature = temperature;
    this.threshold = threshold;
  }

  /**
   * Reads {@code router.json}.
   *
   * @throws BadCheckpoint when the file cannot be read or is not such a file; it says what is wrong
   */
  public static RequestClassifier load(Path file) {
    JsonNode root;
    try {
      root = new ObjectMapper().readTree(file.toFile());
    } catch (IOException e) {
      throw bad(file, "it cannot be read: " + e.getMessage());
    }
    if (!root.path("type").asText().equals("word-pair-softmax")
        || root.path("version").asInt() != 1) {
      throw bad(
          file,
          "type is %s and version %s, expected \"word-pair-softmax\" and 1"
              .formatted(root.path("type"), root.path("version")));
    }
    int buckets = root.path("buckets").asInt();
    if (buckets < 2 || Integer.bitCount(buckets) != 1) {
      throw bad(file, "buckets is " + root.path("buckets") + ", expected a power of two");
    }
    double temperature = root.path("temperature").asDouble();
    double threshold = root.path("threshold").asDouble(-1);
    if (!(temperature > 0) || !(threshold >= 0 && threshold <= 1)) {
      throw bad(
          file,
          "temperature is %s and threshold %s, expected above 0 and from 0 to 1"
              .formatted(root.path("temperature"), root.path("threshold")));
    }
    List<String> labels = new ArrayList<>();
    for (JsonNode label : root.path("labels")) {
      if (labels.contains(label.asText())) {
        throw bad(file, "label " + label + " is there twice");
      }
      labels.add(label.asText());
    }
    if (labels.isEmpty() || !labels.getFirst().equals(BASE)) {
      throw bad(file, "labels is " + root.path("labels") + ", expected \"base\" first");
    }
    float[] bias = floats(file, root, "bias", labels.size());
    float[][] weights = new float[labels.size()][];
    for (int i = 0; i < weights.length; i++) {
      weights[i] = floats(file, root.path("weights"), labels.get(i), buckets);
    }
    return new RequestClassifier(labels, bias, weights, temperature, threshold);
  }

  private static float[] floats(Path file, JsonNode parent, String key, int count) {
    JsonNode array = parent.path(key);
    if (array.size() != count) {
      throw bad(file, "%s has %d values, expected %d".formatted(key, array.size(), count));
    }
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) array.get(i).asDouble(Double.NaN);
      if (!Float.isFinite(values[i])) {
        throw bad(file, "%s has %s, expected a number".formatted(key, array.get(i)));
      }
    }
    return values;
  }

  private static BadCheckpoint bad(Path file, String what) {
    return new BadCheckpoint(file + ": " + what + "; train it again (docs/scenes.md)");
  }

  /** The labels that it knows, {@link #BASE} first. */
  public List<String> labels() {
    return labels;
  }

  /** The label of a text; {@link #BASE} when no label is likely enough. */
  public Choice choose(String text) {
    double[] probabilities = probabilities(TextFeatures.of(text, buckets));
    int best = 0;
    for (int i = 1; i < probabilities.length; i++) {
      best = probabilities[i] > probabilities[best] ? i : best;
    }
    double confidence = probabilities[best];
    return new Choice(confidence < threshold ? BASE : labels.get(best), confidence);
  }

  /**
   * Calibrated probabilities of the labels.
   *
   * @param features of a text, as {@link TextFeatures} gives them
   */
  public double[] probabilities(int[] features) {
    double[] scores = new double[labels.size()];
    // By the root: a long text must not be surer for its length alone.
    double scale = 1 / Math.sqrt(Math.max(1, features.length));
    double highest = Double.NEGATIVE_INFINITY;
    for (int label = 0; label < scores.length; label++) {
      double sum = 0;
      for (int feature : features) {
        sum += weights[label][feature];
      }
      scores[label] = (bias[label] + scale * sum) / temperature;
      highest = Math.max(highest, scores[label]);
    }
    double total = 0;
    for (int label = 0; label < scores.length; label++) {
      scores[label] = Math.exp(scores[label] - highest);
      total += scores[label];
    }
    for (int label = 0; label < scores.length; label++) {
      scores[label] /= total;
    }
    return scores;
  }
}
