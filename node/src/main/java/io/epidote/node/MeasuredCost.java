package io.epidote.node;

import io.epidote.proto.v1.Cost;

/**
 * What something takes for its size: the straight line through the latest measurements, older ones
 * counting less and less. A unit of size cannot take more than it did in the quickest of them.
 * Sizes that hardly differ tell no more of it; then it is taken to be that. Belongs to one thread.
 */
public final class MeasuredCost {
  /** The first ones meet code that is not compiled and connections that are not open yet. */
  private static final int COLD = 2;

  /** Measurements before anything is told: one alone may be far off, and is believed for long. */
  private static final int ENOUGH = COLD + 2;

  /** Of the latest measurement, once there are many. */
  private static final double WEIGHT = 1.0 / 32;

  /** Relative to the square of their mean. */
  private static final double LEAST_VARIANCE = 1e-3;

  /** By how much the quickest is forgotten with each measurement. */
  private static final double DRIFT = 0.01;

  private int samples;
  private double quickestUnitMs = Double.MAX_VALUE;
  private double meanUnits;
  private double meanMs;
  private double variance;
  private double covariance;

  /**
   * @param units above 0
   */
  public void add(double units, long nanos) {
    samples = Math.min(samples + 1, Integer.MAX_VALUE - 1);
    quickestUnitMs = Math.min(nanos / 1e6 / units, quickestUnitMs * (1 + DRIFT));
    double weight = samples <= COLD ? 1 : Math.max(WEIGHT, 1.0 / (samples - COLD));
    double fromUnits = units - meanUnits;
    double fromMs = nanos / 1e6 - meanMs;
    meanUnits += weight * fromUnits;
    meanMs += weight * fromMs;
    variance = (1 - weight) * (variance + weight * fromUnits * fromUnits);
    covariance = (1 - weight) * (covariance + weight * fromUnits * fromMs);
  }

  /** Milliseconds that so many units take, in one piece; 0 before there was enough to measure. */
  public double ms(double units) {
    Cost cost = toProto();
    return cost.getFixedMs() + cost.getUnitMs() * units;
  }

  /** As a load report tells it; empty before there was enough to measure. */
  public Cost toProto() {
    if (samples < ENOUGH) {
      return Cost.getDefaultInstance();
    }
    double most = Math.min(meanMs / meanUnits, quickestUnitMs);
    boolean alike = variance < LEAST_VARIANCE * meanUnits * meanUnits;
    // Neither part may be negative, whatever noise there is.
    double unit = alike ? most : Math.clamp(covariance / variance, 0, most);
    return Cost.newBuilder()
        .setUnitMs(unit)
        .setFixedMs(Math.max(0, meanMs - unit * meanUnits))
        .build();
  }
}
