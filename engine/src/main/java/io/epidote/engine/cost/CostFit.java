package io.epidote.engine.cost;

import static java.util.Objects.requireNonNull;

import java.util.Arrays;
import java.util.List;
import java.util.stream.DoubleStream;

/**
 * Fits a stage's cost to measured steps: non-negative least squares on its roofline terms. Errors
 * count relative to the step's time, so that a step of a millisecond counts as much as one of a
 * second. Measurements may be forgotten: then the fit follows a machine that changes. Belongs to
 * one thread.
 */
public final class CostFit {
  private final CostStage stage;

  /** What a measurement's weight is multiplied by with every later one. */
  private final double keep;

  private final double[][] gram;
  private final double[] moment;

  /** Of all measurements. */
  private double weight;

  /** A step that was measured. */
  public record Measured(StepWork work, double ms) {
    public Measured {
      if (!(ms > 0)) {
        throw new IllegalArgumentException("a step takes more than 0 ms, not " + ms);
      }
    }
  }

  private CostFit(CostStage stage, double keep) {
    this.stage = requireNonNull(stage, "stage is null");
    this.keep = keep;
    int terms = stage.terms().size();
    this.gram = new double[terms][terms];
    this.moment = new double[terms];
  }

  /**
   * A fit that forgets.
   *
   * @param memory steps after which a measurement counts for a third of what it did
   */
  public static CostFit forgetting(CostStage stage, double memory) {
    return new CostFit(stage, Math.exp(-1 / memory));
  }

  /** The cost that is nearest to these steps; 0 of every term without any. */
  public static StageCost fit(CostStage stage, List<Measured> steps) {
    CostFit fit = new CostFit(stage, 1);
    steps.forEach(fit::add);
    return fit.cost(List.of(), 0);
  }

  public void add(Measured step) {
    if (step.work().stage() != stage) {
      throw new IllegalArgumentException("a fit of %s was given %s".formatted(stage, step.work()));
    }
    for (int i = 0; i < moment.length; i++) {
      moment[i] *= keep;
      for (int j = 0; j < moment.length; j++) {
        gram[i][j] *= keep;
      }
    }
    add(gram, moment, step, 1);
    weight = keep * weight + 1;
  }

  private static void add(double[][] gram, double[] moment, Measured step, double times) {
    double[] row = Arrays.stream(step.work().units()).map(unit -> unit / step.ms()).toArray();
    for (int i = 0; i < row.length; i++) {
      moment[i] += times * row[i];
      for (int j = 0; j < row.length; j++) {
        gram[i][j] += times * row[i] * row[j];
      }
    }
  }

  /**
   * The cost that is nearest to what was added.
   *
   * @param beliefs steps of other shapes that decide where what was added tells nothing
   * @param share of the weight of all measurements, which each of them has
   */
  public StageCost cost(List<Measured> beliefs, double share) {
    double[][] all = Arrays.stream(gram).map(double[]::clone).toArray(double[][]::new);
    double[] sums = moment.clone();
    beliefs.forEach(belief -> add(all, sums, belief, share * weight));
    double[] ms = NonNegativeLeastSquares.solve(all, sums);
    return new StageCost(stage, DoubleStream.of(ms).boxed().toList());
  }

  /** Mean of what predictions are off by, relative to what was measured; not a number of none. */
  public static double mape(StageCost cost, List<Measured> steps) {
    return steps.stream()
        .mapToDouble(step -> Math.abs(cost.ms(step.work()) - step.ms()) / step.ms())
        .average()
        .orElse(Double.NaN);
  }
}
