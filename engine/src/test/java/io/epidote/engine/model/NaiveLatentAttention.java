package io.epidote.engine.model;

import io.epidote.engine.checkpoint.LatentAttention;
import io.epidote.engine.checkpoint.RopeScaling.Yarn;
import io.epidote.engine.checkpoint.TextConfig;
import java.util.Arrays;
import java.util.stream.Stream;

/**
 * DeepSeek's attention as its paper has it: every head's keys and values are made from the latent
 * vector, and rotary pairs are neighbours, as in the checkpoint.
 */
final class NaiveLatentAttention {
  private static final double EPSILON = 1e-6;

  private final NaiveDecoder decoder;
  private final TextConfig config;
  private final LatentAttention latent;

  NaiveLatentAttention(NaiveDecoder decoder, TextConfig config, LatentAttention latent) {
    this.decoder = decoder;
    this.config = config;
    this.latent = latent;
  }

  double[][] attend(String name, double[][] x) {
    int plain = latent.plainWidth();
    int rotary = latent.rotaryWidth();
    int width = plain + rotary;
    int value = latent.valueWidth();
    int rank = latent.rank();
    int queryWidth = config.heads() * width;
    double[][] q =
        latent.queryRank() == 0
            ? linear(name + "q_proj.weight", x, queryWidth)
            : linear(
                name + "q_b_proj.weight",
                norm(
                    linear(name + "q_a_proj.weight", x, latent.queryRank()),
                    name + "q_a_layernorm.weight"),
                queryWidth);
    double[][] compressed = linear(name + "kv_a_proj_with_mqa.weight", x, rank + rotary);
    double[][] latents =
        norm(
            Stream.of(compressed).map(row -> Arrays.copyOf(row, rank)).toArray(double[][]::new),
            name + "kv_a_layernorm.weight");
    double[][] expanded =
        linear(name + "kv_b_proj.weight", latents, config.heads() * (plain + value));
    double[][] result = new double[x.length][];
    for (int t = 0; t < x.length; t++) {
      rotate(compressed[t], rank, t);
      double[] context = new double[config.heads() * value];
      for (int head = 0; head < config.heads(); head++) {
        rotate(q[t], head * width + plain, t);
        int from = head * (plain + value);
        double[] scores = new double[t + 1];
        for (int s = 0; s <= t; s++) {
          for (int i = 0; i < width; i++) {
            double key = i < plain ? expanded[s][from + i] : compressed[s][rank + i - plain];
            scores[s] += q[t][head * width + i] * key * latent.scale();
          }
        }
        NaiveDecoder.softmax(scores);
        for (int s = 0; s <= t; s++) {
          for (int i = 0; i < value; i++) {
            context[head * value + i] += scores[s] * expanded[s][from + plain + i];
          }
        }
      }
      result[t] = decoder.linear(name + "o_proj.weight", context, config.hiddenSize());
    }
    return result;
  }

  private void rotate(double[] row, int from, int position) {
    int width = latent.rotaryWidth();
    double magnitude = config.rope().scaling() instanceof Yarn yarn ? yarn.magnitude() : 1;
    for (int pair = 0; pair < width / 2; pair++) {
      double angle = position * turn(pair);
      double a = row[from + 2 * pair];
      double b = row[from + 2 * pair + 1];
      row[from + 2 * pair] = magnitude * (a * Math.cos(angle) - b * Math.sin(angle));
      row[from + 2 * pair + 1] = magnitude * (b * Math.cos(angle) + a * Math.sin(angle));
    }
  }

  private double turn(int pair) {
    int width = latent.rotaryWidth();
    double theta = config.rope().theta();
    double plain = 1 / Math.pow(theta, 2.0 * pair / width);
    if (!(config.rope().scaling() instanceof Yarn yarn)) {
      return plain;
    }
    double low = Math.max(0, Math.floor(correction(yarn.fastTurns(), yarn, theta)));
    double high = Math.min(width - 1, Math.ceil(correction(yarn.slowTurns(), yarn, theta)));
    double ramp = Math.clamp((pair - low) / (high == low ? 0.001 : high - low), 0, 1);
    return plain / yarn.factor() * ramp + plain * (1 - ramp);
  }

  private double correction(double turns, Yarn yarn, double theta) {
    return latent.rotaryWidth()
        * Math.log(yarn.originalContext() / (turns * 2 * Math.PI))
        / (2 * Math.log(theta));
  }

  private double[][] linear(String weight, double[][] x, int out) {
    return Stream.of(x).map(row -> decoder.linear(weight, row, out)).toArray(double[][]::new);
  }

  private double[][] norm(double[][] x, String weight) {
    return decoder.norm(x, weight, EPSILON);
  }
}
