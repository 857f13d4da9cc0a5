package io.epidote.planner;

import io.epidote.node.engine.QueueOrder.Policy;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import org.ojalgo.random.Normal1D;
import org.ojalgo.random.process.GaussianField;
import org.ojalgo.type.keyvalue.EntryPair.KeyedPrimitive;

/**
 * What goodput plans probably have that were not simulated: a Gaussian process (ojAlgo's) over the
 * parts of the devices that kinds of nodes have, and the settings. Its mean is what capacity allows
 * times what was reached of it so far.
 */
final class Surrogate {
  /** How far apart plans are that tell something of each other, in units of {@link Point#at}. */
  private static final double LENGTH = 0.25;

  /** Of the part of its capacity that a plan reaches. */
  private static final double SPREAD = 0.25;

  /** Likewise, between two simulations. */
  private static final double NOISE = 0.02;

  private final List<Point> points;
  private final GaussianField<Point> field;

  /** A plan that was simulated, or may be. */
  private static final class Point implements Comparable<Point> {
    private final int id;
    private final double[] at;

    Point(int id, Plan plan) {
      this.id = id;
      int[] counts = plan.layout().counts();
      this.at = new double[counts.length + 4];
      for (int kind = 0; kind < counts.length; kind++) {
        at[kind] = (double) counts[kind] / plan.layout().devices();
      }
      at[6] = Math.log(plan.prefillStep() / 2048.0) / 8;
      at[7] = Math.log(plan.decodeBatch() / 64.0) / 8;
      at[8] = plan.order() == Policy.FCFS ? 0 : plan.order() == Policy.SLACK ? 0.15 : -0.15;
      at[9] = plan.divides() ? 0 : 0.2;
    }

    @Override
    public int compareTo(Point other) {
      return Integer.compare(id, other.id);
    }

    @Override
    public boolean equals(Object other) {
      return other instanceof Point point && point.id == id;
    }

    @Override
    public int hashCode() {
      return id;
    }
  }

  private static double covariance(Point a, Point b) {
    double distance = 0;
    for (int i = 0; i < a.at.length; i++) {
      distance += (a.at[i] - b.at[i]) * (a.at[i] - b.at[i]);
    }
    double near = SPREAD * SPREAD * Math.exp(-distance / (2 * LENGTH * LENGTH));
    return a.id == b.id ? near + NOISE * NOISE : near;
  }

  /**
   * @param plans that were simulated
   * @param reached of each the part of its capacity
   */
  Surrogate(List<Plan> plans, double[] reached) {
    double mean = Arrays.stream(reached).average().orElse(0);
    this.field =
        new GaussianField<>(
            new GaussianField.Mean<Point>() {
              @Override
              public void calibrate(Collection<KeyedPrimitive<Point>> observations) {}

              @Override
              public double invoke(Point point) {
                return mean;
              }
            },
            new GaussianField.Covariance<Point>() {
              @Override
              public void calibrate(
                  Collection<KeyedPrimitive<Point>> observations, GaussianField.Mean<Point> of) {}

              @Override
              public double invoke(Point a, Point b) {
                return covariance(a, b);
              }
            });
    this.points =
        java.util.stream.IntStream.range(0, plans.size())
            .mapToObj(i -> new Point(i, plans.get(i)))
            .toList();
    for (Point point : points) {
      field.addObservation(point, reached[point.id]);
    }
  }

  /**
   * How much more than the best so far a plan is expected to bring (Jones, Schonlau and Welch,
   * "Efficient Global Optimization", 1998, section 4.1).
   *
   * @param capacity of the plan
   * @param cost of its devices, in requests a second
   * @param best goodput less cost so far
   */
  double expectedImprovement(Plan plan, double capacity, double cost, double best) {
    Normal1D guess = field.getDistribution(true, new Point(points.size(), plan));
    double mean = guess.getExpected().doubleValue(0) * capacity - cost;
    double sigma = Math.max(1e-9, guess.getStandardDeviation().doubleValue(0)) * capacity;
    double z = (mean - best) / sigma;
    return sigma * (z * cumulative(z) + Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI));
  }

  /** Of the normal distribution (Abramowitz and Stegun, 26.2.17). */
  private static double cumulative(double z) {
    double t = 1 / (1 + 0.2316419 * Math.abs(z));
    double tail =
        Math.exp(-z * z / 2)
            / Math.sqrt(2 * Math.PI)
            * t
            * (0.319381530
                + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
    return z > 0 ? 1 - tail : tail;
  }
}
