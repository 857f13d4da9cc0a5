package io.epidote.router.page;

import java.util.Arrays;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Durations of one period, of which quantiles are asked at its end. Beyond a bound they are a
 * uniform sample (Vitter's algorithm R), so that a flood costs no more memory.
 */
final class Figures {
  private static final int BOUND = 1024;

  private double[] values = new double[8];
  private long seen;

  void add(double value) {
    int held = held();
    if (held < BOUND) {
      if (held == values.length) {
        values = Arrays.copyOf(values, 2 * held);
      }
      values[held] = value;
    } else {
      long at = ThreadLocalRandom.current().nextLong(seen + 1);
      if (at < BOUND) {
        values[(int) at] = value;
      }
    }
    seen++;
  }

  /**
   * The least value that so many are not above, NaN when there is none.
   *
   * @param share 0 to 1
   */
  double quantile(double share) {
    int held = held();
    if (held == 0) {
      return Double.NaN;
    }
    double[] sorted = Arrays.copyOf(values, held);
    Arrays.sort(sorted);
    return sorted[Math.clamp((int) Math.ceil(share * held) - 1, 0, held - 1)];
  }

  private int held() {
    return (int) Math.min(seen, BOUND);
  }
}
