package io.epidote.engine.tier;

/** How often an adapter will be used, from how often it was: a count that halves every minute. */
final class UseForecast {
  private static final double HALF_LIFE_NANOS = 60e9;

  private double count;
  private long countedAt;

  void used(long now) {
    count = decayed(now) + 1;
    countedAt = now;
  }

  /** Uses that are expected within so many nanoseconds. */
  double expected(long now, long nanos) {
    return decayed(now) * Math.log(2) / HALF_LIFE_NANOS * nanos;
  }

  private double decayed(long now) {
    return count * Math.pow(0.5, (now - countedAt) / HALF_LIFE_NANOS);
  }
}
