package io.epidote.trainer;

import ai.djl.ndarray.NDManager;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.IntStream;

/**
 * How much the experts of each layer have to do with a set of samples, by the two scores of
 * expert-specialised fine-tuning (arXiv 2407.01906, section 3.2). Only tokens that an answer is
 * predicted from count: a sample is mostly its picture, and would choose the experts of pictures.
 */
final class ExpertScores {
  private final double[][] gates;
  private final double[][] tokens;
  private int samples;

  ExpertScores(ModelConfig config) {
    this.gates = new double[config.textLayers()][config.experts()];
    this.tokens = new double[config.textLayers()][config.experts()];
  }

  /** Adds one sample: {@code batch} must have one row. */
  void add(NDManager step, AdapterNet net, AdapterBatches.Prepared prepared) {
    Batch batch = prepared.batch();
    if (batch.rows() != 1) {
      throw new IllegalArgumentException(
          "scores are per sample: expected 1 row, got " + batch.rows());
    }
    samples++;
    net.forward(
        step,
        prepared,
        (layer, experts, weights) -> {
          float[] gate = weights.toFloatArray();
          int k = experts.length / batch.length();
          for (long token : batch.selected()) {
            for (int i = (int) token * k; i < (token + 1) * k; i++) {
              gates[layer][(int) experts[i]] += gate[i] / batch.selected().length;
              tokens[layer][(int) experts[i]] += 1.0 / k / batch.selected().length;
            }
          }
        });
  }

  /** The average gate score of every expert of a layer; they sum to 1. */
  double[] gateScores(int layer) {
    return Arrays.stream(gates[layer]).map(v -> v / samples).toArray();
  }

  /** The token selection ratio of every expert of a layer; they sum to 1. */
  double[] tokenRatios(int layer) {
    return Arrays.stream(tokens[layer]).map(v -> v / samples).toArray();
  }

  /**
   * The fewest experts of each layer, highest score first, whose scores sum to at least {@code p}.
   */
  static SortedMap<Integer, List<Integer>> choose(List<double[]> scores, double p) {
    SortedMap<Integer, List<Integer>> chosen = new TreeMap<>();
    for (int layer = 0; layer < scores.size(); layer++) {
      double[] score = scores.get(layer);
      List<Integer> order =
          IntStream.range(0, score.length)
              .boxed()
              .sorted(Comparator.comparingDouble((Integer e) -> -score[e]))
              .toList();
      List<Integer> experts = new ArrayList<>();
      double sum = 0;
      for (int i = 0; sum < p && i < order.size(); i++) {
        experts.add(order.get(i));
        sum += score[order.get(i)];
      }
      chosen.put(layer, experts.stream().sorted().toList());
    }
    return chosen;
  }
}
