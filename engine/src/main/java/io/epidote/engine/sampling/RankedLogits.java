package io.epidote.engine.sampling;

import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * A row of logits by likelihood: the largest first, the lower id first among equals, NaN last. No
 * more of it is sorted than is asked for: tokens are counted by how far they are below the largest,
 * in buckets that are narrow near it, and only buckets down to the one that completes what is asked
 * for are collected and sorted. Its memory is used again for the next row. Used by one thread.
 */
final class RankedLogits {
  /** A bucket is a distance's exponent and three bits of its mantissa: at most 1/8 of it wide. */
  private static final int BUCKET_SHIFT = 20;

  private static final int BUCKETS = 1 << (31 - BUCKET_SHIFT);

  private final int[] counts = new int[BUCKETS];
  private final double[] masses = new double[BUCKETS];
  private int size;
  private float max;
  private float[] logits = {};
  private double[] weights = {};

  /** In its first places the tokens in order: what {@link #id} reads. */
  private long[] ranks = {};

  /** The temperature of all {@link #weights}, or NaN. */
  private float temperature;

  /** Of all {@link #weights}: those below are 0. */
  private float least;

  private double total;

  /**
   * Takes a copy of a row.
   *
   * @param max the largest of it
   */
  void load(FloatBuffer row, float max) {
    this.max = max;
    size = row.remaining();
    temperature = Float.NaN;
    if (logits.length < size) {
      logits = new float[size];
      weights = new double[size];
      ranks = new long[size];
    }
    row.get(row.position(), logits, 0, size);
  }

  int size() {
    return size;
  }

  float logit(int id) {
    return logits[id];
  }

  /** A token's probability times an unknown factor, as {@link #weigh} has left it. */
  double weight(int id) {
    return weights[id];
  }

  /** The token at a place in the order; of those that the last call has ranked. */
  int id(int rank) {
    return (int) ranks[rank];
  }

  /**
   * Gives every token its weight at a temperature. The sum of the weights.
   *
   * @param least share of the likeliest one's weight below which a token has none
   */
  double weigh(float temperature, float least) {
    if (this.temperature == temperature && this.least == least) {
      return total;
    }
    this.least = least;
    Arrays.fill(masses, 0);
    total = 0;
    for (int id = 0; id < size; id++) {
      double weight = exponential(id, temperature);
      weights[id] = weight;
      masses[bucket(id)] += weight;
      total += weight;
    }
    this.temperature = temperature;
    return total;
  }

  /** Gives the first tokens in the order their weights; the sum of these. */
  double weighFirst(int count, float temperature, float least) {
    this.temperature = Float.NaN;
    this.least = least;
    double sum = 0;
    for (int rank = 0; rank < count; rank++) {
      int id = id(rank);
      weights[id] = exponential(id, temperature);
      sum += weights[id];
    }
    return sum;
  }

  private double exponential(int id, float temperature) {
    // That of the likeliest is 1, and one that is no number is not drawn.
    double weight = Math.exp((logits[id] - max) / temperature);
    return weight >= least ? weight : 0;
  }

  /** Ranks the most likely tokens, at most as many as there are. How many these are. */
  int rankFirst(int count) {
    if (count >= size) {
      return rank(BUCKETS - 1);
    }
    Arrays.fill(counts, 0);
    for (int id = 0; id < size; id++) {
      counts[bucket(id)]++;
    }
    int bucket = 0;
    for (int found = counts[0]; found < count; found += counts[bucket]) {
      bucket++;
    }
    rank(bucket);
    return count;
  }

  /**
   * Ranks the fewest tokens whose weights together, the most likely first, reach a mass; all must
   * have been weighed. How many these are: at least one, all when they do not reach it.
   */
  int rankMass(double mass) {
    double reached = 0;
    for (int bucket = 0; bucket < BUCKETS; bucket++) {
      reached += masses[bucket];
      // Buckets are summed in another order than tokens: the mass may be reached one later.
      if (masses[bucket] > 0 && reached >= mass) {
        int ranked = rank(bucket);
        int enough = reach(ranked, mass);
        if (enough < ranked || bucket == BUCKETS - 1) {
          return enough;
        }
      }
    }
    return rank(BUCKETS - 1);
  }

  /** How many of the first tokens reach a mass together; all of them when they do not. */
  int reach(int ranked, double mass) {
    double sum = 0;
    for (int rank = 0; rank < ranked; rank++) {
      sum += weights[id(rank)];
      if (sum >= mass) {
        return rank + 1;
      }
    }
    return ranked;
  }

  private int bucket(int id) {
    return (Float.floatToRawIntBits(logits[id] - max) & Integer.MAX_VALUE) >>> BUCKET_SHIFT;
  }

  /** Sorts the tokens of all buckets up to one. How many these are. */
  private int rank(int last) {
    int count = 0;
    for (int id = 0; id < size; id++) {
      if (bucket(id) <= last) {
        float logit = logits[id];
        int order =
            Float.isNaN(logit)
                ? Integer.MIN_VALUE
                : LargestLogit.ordered(Float.floatToRawIntBits(logit));
        ranks[count++] = ((long) ~order << 32) | id;
      }
    }
    Arrays.sort(ranks, 0, count);
    return count;
  }
}
