package io.epidote.planner.sim;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * What requests took, in the devices' time.
 *
 * @param ttftMs until the first token; not a number for a request that had none
 * @param tpotMs for each token after it; not a number for answers of one token
 */
@SuppressWarnings("ArrayRecordComponent") // thousands of numbers, which nobody changes
public record Outcome(double[] ttftMs, double[] tpotMs) {
  /** A quantile of those that are numbers; not a number when there is none. */
  public static double quantile(double[] values, double part) {
    double[] sorted = Arrays.stream(values).filter(ms -> !Double.isNaN(ms)).sorted().toArray();
    if (sorted.length == 0) {
      return Double.NaN;
    }
    int rank = (int) Math.ceil(part * sorted.length);
    return sorted[Math.clamp(rank - 1, 0, sorted.length - 1)];
  }

  public double ttft(double part) {
    return quantile(ttftMs, part);
  }

  public double tpot(double part) {
    return quantile(tpotMs, part);
  }

  /** Share of all requests that met both targets. */
  public double attainment(ClusterShape.Targets targets) {
    long met =
        IntStream.range(0, ttftMs.length).filter(i -> meets(targets, ttftMs[i], tpotMs[i])).count();
    return met / (double) ttftMs.length;
  }

  static boolean meets(ClusterShape.Targets targets, double ttft, double tpot) {
    return ttft <= targets.ttftMs().orElse(Double.MAX_VALUE)
        && !(tpot > targets.tpotMs().orElse(Double.MAX_VALUE));
  }
}
