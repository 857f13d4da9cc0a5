package io.epidote.cli.load;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Looks for the highest rate at which enough requests meet their targets (goodput, as of Zhong et
 * al., DistServe, OSDI 2024): doubles or halves a rate until one is known that is too high and one
 * that is not, then divides what is between.
 */
public final class GoodputSearch {
  private static final int STEPS = 12;

  /** The higher rate over the lower one at which they are close enough. */
  private static final double CLOSE = 1.1;

  /** Measures at a rate, requests a second. */
  public interface Measure {
    LoadLevel at(double rate) throws InterruptedException;
  }

  /**
   * What was found.
   *
   * @param rate requests a second; 0 when every rate was too high
   * @param levels all that were measured, in rising order of rate
   */
  public record Found(double rate, List<LoadLevel> levels) {}

  private final double attainment;
  private final Measure measure;
  private final List<LoadLevel> levels = new ArrayList<>();

  /**
   * @param attainment share of requests that must meet their targets
   */
  public GoodputSearch(double attainment, Measure measure) {
    this.attainment = attainment;
    this.measure = measure;
  }

  public Found from(double start) throws InterruptedException {
    double good = 0;
    double bad = Double.POSITIVE_INFINITY;
    double rate = start;
    for (int step = 0; step < STEPS && bad > CLOSE * good; step++) {
      LoadLevel level = measure.at(rate);
      levels.add(level);
      if (level.attainment() >= attainment) {
        good = rate;
      } else {
        bad = rate;
      }
      if (Double.isInfinite(bad)) {
        rate *= 2;
      } else if (good == 0) {
        rate /= 2;
      } else {
        rate = Math.sqrt(good * bad);
      }
    }
    levels.sort(Comparator.comparingDouble(LoadLevel::rate));
    return new Found(good, List.copyOf(levels));
  }
}
