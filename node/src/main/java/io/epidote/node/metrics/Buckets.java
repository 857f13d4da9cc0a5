package io.epidote.node.metrics;

import java.time.Duration;
import java.util.stream.IntStream;

/** Bounds of histograms, the same everywhere, so that those of several processes can be added. */
public final class Buckets {
  private static final int TIMES = 18;
  private static final int COUNTS = 18;

  private Buckets() {}

  /** Of durations: from 1 ms, each twice the one before, to 131 s. */
  public static Duration[] times() {
    return IntStream.range(0, TIMES)
        .mapToObj(power -> Duration.ofMillis(1L << power))
        .toArray(Duration[]::new);
  }

  /** Of tiles, tokens and sequences: powers of two up to 131072. */
  public static double[] counts() {
    return IntStream.range(0, COUNTS).mapToDouble(power -> 1L << power).toArray();
  }
}
