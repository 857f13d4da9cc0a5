package io.epidote.engine.sampling;

import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/** Sampling by its definition: everything is sorted. For rows without NaN and without -0. */
record SortingSampler(float[] logits) {
  SampledToken sample(SamplingOptions options, int position) {
    int[] order =
        IntStream.range(0, logits.length)
            .boxed()
            .sorted(
                Comparator.<Integer>comparingDouble(id -> -logits[id])
                    .thenComparing(Comparator.naturalOrder()))
            .mapToInt(Integer::intValue)
            .toArray();
    int best = order[0];
    int chosen = options.temperature() == 0 ? best : draw(order, options, position);
    if (options.logprobs() < 0) {
      return new SampledToken(chosen, Float.NaN, List.of());
    }
    double logSum =
        logits[best]
            + Math.log(
                IntStream.range(0, logits.length)
                    .mapToDouble(id -> Math.exp(logits[id] - logits[best]))
                    .reduce(0, Double::sum));
    return new SampledToken(
        chosen,
        (float) (logits[chosen] - logSum),
        Arrays.stream(order)
            .limit(options.logprobs())
            .mapToObj(id -> new SampledToken.Candidate(id, (float) (logits[id] - logSum)))
            .toList());
  }

  private int draw(int[] all, SamplingOptions options, int position) {
    boolean cut = options.topK() > 0 && options.topK() < all.length;
    int[] order = cut ? Arrays.copyOf(all, options.topK()) : all;
    double[] weights =
        Arrays.stream(order).mapToDouble(id -> weight(id, all[0], options)).toArray();
    if (options.topP() < 1) {
      double total = Arrays.stream(weights).reduce(0, Double::sum);
      int kept = 0;
      double mass = 0;
      while (kept < order.length) {
        mass += weights[kept++];
        if (mass >= options.topP() * total) {
          break;
        }
      }
      order = Arrays.copyOf(order, kept);
    } else if (!cut) {
      // Nothing is left out: a draw runs through the vocabulary as it is.
      order = IntStream.range(0, all.length).toArray();
      weights = Arrays.stream(order).mapToDouble(id -> weight(id, all[0], options)).toArray();
    }
    double total = Arrays.stream(weights).limit(order.length).reduce(0, Double::sum);
    double target =
        total
            * new SplittableRandom(options.seed() + 0x9E3779B97F4A7C15L * (position + 1L))
                .split()
                .nextDouble();
    int last = 0;
    for (int i = 0; i < order.length; i++) {
      target -= weights[i];
      if (target < 0) {
        return order[i];
      }
      last = weights[i] > 0 ? i : last;
    }
    return order[last];
  }

  private double weight(int id, int best, SamplingOptions options) {
    double weight = Math.exp((logits[id] - logits[best]) / options.temperature());
    return weight >= options.minP() ? weight : 0;
  }
}
