package io.epidote.engine.sampling;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.PriorityQueue;
import java.util.SplittableRandom;

/**
 * Chooses a token from a row of logits. Stateless between tokens: the draw at a position depends on
 * the seed and the position alone, so that any node can continue a seeded stream exactly. Used by
 * one thread.
 */
public final class Sampler {
  private float[] scratch = new float[0];

  /**
   * @param logits {@code [vocabulary]}; not changed
   * @param position of the token to choose, in its sequence
   */
  public SampledToken sample(FloatBuffer logits, SamplingOptions options, int position) {
    int vocabulary = logits.remaining();
    if (scratch.length < vocabulary) {
      scratch = new float[vocabulary];
    }
    logits.get(logits.position(), scratch, 0, vocabulary);
    int best = 0;
    for (int i = 1; i < vocabulary; i++) {
      if (scratch[i] > scratch[best]) {
        best = i;
      }
    }
    int chosen =
        options.temperature() == 0f ? best : draw(vocabulary, options, position, scratch[best]);
    if (options.logprobs() < 0) {
      return new SampledToken(chosen, Float.NaN, List.of());
    }
    double logSum = logSumExp(vocabulary, scratch[best]);
    List<SampledToken.Candidate> candidates = new ArrayList<>();
    for (int id : mostLikely(vocabulary, options.logprobs())) {
      candidates.add(new SampledToken.Candidate(id, (float) (scratch[id] - logSum)));
    }
    return new SampledToken(chosen, (float) (scratch[chosen] - logSum), candidates);
  }

  private int draw(int vocabulary, SamplingOptions options, int position, float max) {
    int keep = options.topK() > 0 ? Math.min(options.topK(), vocabulary) : vocabulary;
    boolean all = keep == vocabulary && options.topP() >= 1f;
    int[] order = all ? identity(vocabulary) : mostLikely(vocabulary, keep);
    double[] weights = new double[order.length];
    double total = 0;
    for (int i = 0; i < order.length; i++) {
      weights[i] = Math.exp((scratch[order[i]] - max) / options.temperature());
      total += weights[i];
    }
    if (options.topP() < 1f) {
      double mass = 0;
      int last = 0;
      while (last < order.length) {
        mass += weights[last++];
        // The token that crosses the mass is kept: a nucleus is never empty.
        if (mass >= options.topP() * total) {
          break;
        }
      }
      order = Arrays.copyOf(order, last);
      total = mass;
    }
    double target = uniform(options.seed(), position) * total;
    for (int i = 0; i < order.length; i++) {
      target -= weights[i];
      if (target < 0) {
        return order[i];
      }
    }
    return order[order.length - 1];
  }

  private static double uniform(long seed, int position) {
    return new SplittableRandom(seed + 0x9E3779B97F4A7C15L * (position + 1L)).split().nextDouble();
  }

  private double logSumExp(int vocabulary, float max) {
    double sum = 0;
    for (int i = 0; i < vocabulary; i++) {
      sum += Math.exp(scratch[i] - max);
    }
    return max + Math.log(sum);
  }

  private static int[] identity(int length) {
    int[] ids = new int[length];
    Arrays.setAll(ids, i -> i);
    return ids;
  }

  /**
   * The ids of the {@code count} largest logits, largest first, the lower id first among equals.
   */
  private int[] mostLikely(int vocabulary, int count) {
    PriorityQueue<Integer> heap =
        new PriorityQueue<>((a, b) -> {
          int byLogit = Float.compare(scratch[a], scratch[b]);
          return byLogit != 0 ? byLogit : Integer.compare(b, a);
        });
    for (int i = 0; i < vocabulary && count > 0; i++) {
      if (heap.size() < count) {
        heap.add(i);
      } else if (scratch[i] > scratch[heap.element()]) {
        heap.remove();
        heap.add(i);
      }
    }
    int[] ids = new int[heap.size()];
    for (int i = ids.length - 1; i >= 0; i--) {
      ids[i] = heap.remove();
    }
    return ids;
  }
}
