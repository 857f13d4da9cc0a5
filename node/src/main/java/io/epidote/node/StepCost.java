package io.epidote.node;

import io.epidote.engine.cost.CostFit;
import io.epidote.engine.cost.CostFit.Measured;
import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StageCost;
import io.epidote.engine.cost.StepWork;
import io.epidote.proto.v1.Cost;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What steps of this node take: the cost model, fitted to the latest steps, older ones counting
 * less and less. Steps that hardly differ tell nothing of a fixed part, nor of pairs beside tokens;
 * then its shape is that of many more steps, which forget slowly, and where those hardly differed
 * either, everything is put down to the unit, a prompt token or an answer. Belongs to one thread.
 */
public final class StepCost {
  /** The first ones meet code that is not compiled. */
  private static final int COLD = 2;

  /** Measurements before anything is told: one alone may be far off, and is believed for long. */
  private static final int ENOUGH = 2;

  private static final double MEMORY = 32;

  /** For the shape: many phases of a load. */
  private static final double LONG_MEMORY = 4096;

  /** What is believed of steps of other size until measured otherwise. */
  private static final double BELIEF = 1e-4;

  private static final double SMALLER = 0.25;
  private static final double LARGER = 4;

  private final CostStage stage;
  private final CostFit fit;
  private final CostFit shape;
  private int steps;
  private final double[] meanUnits;
  private double meanMs;
  private @Nullable StageCost cost;

  /**
   * @param stage prefill or decode
   */
  public StepCost(CostStage stage) {
    this.stage = stage;
    this.fit = CostFit.forgetting(stage, MEMORY);
    this.shape = CostFit.forgetting(stage, LONG_MEMORY);
    this.meanUnits = new double[stage.terms().size()];
  }

  public void add(StepWork work, long nanos) {
    steps = Math.min(steps + 1, Integer.MAX_VALUE - 1);
    if (steps <= COLD) {
      return;
    }
    double ms = Math.max(1, nanos) / 1e6;
    Measured measured = new Measured(work, ms);
    fit.add(measured);
    shape.add(measured);
    double part = Math.max(1 / MEMORY, 1.0 / (steps - COLD));
    double[] units = work.units();
    for (int term = 0; term < units.length; term++) {
      meanUnits[term] += part * (units[term] - meanUnits[term]);
    }
    meanMs += part * (ms - meanMs);
    cost = null;
  }

  /** Milliseconds of a step; 0 before there was enough to measure. */
  public double ms(StepWork work) {
    return isKnown() ? cost().ms(work) : 0;
  }

  private boolean isKnown() {
    return steps >= COLD + ENOUGH;
  }

  private StageCost cost() {
    StageCost known = cost;
    if (known == null) {
      StageCost usual = shape.cost(List.of(inProportion(SMALLER), inProportion(LARGER)), BELIEF);
      known = fit.cost(List.of(belief(usual, SMALLER), belief(usual, LARGER)), BELIEF);
      cost = known;
    }
    return known;
  }

  private Measured inProportion(double times) {
    return new Measured(meanWork(times), meanMs * times);
  }

  /** As much more or less than of late as is usual. */
  private Measured belief(StageCost usual, double times) {
    double like = usual.ms(meanWork(1));
    double part = like > 0 ? usual.ms(meanWork(times)) / like : times;
    return new Measured(meanWork(times), meanMs * (part > 0 ? part : times));
  }

  private StepWork meanWork(double times) {
    return stage.work(Arrays.stream(meanUnits).map(unit -> unit * times).toArray());
  }

  /**
   * The straight line by units through steps as there were of late, as a load report tells it;
   * empty before there was enough to measure.
   */
  public Cost toProto() {
    if (!isKnown()) {
      return Cost.getDefaultInstance();
    }
    List<Double> ms = cost().ms();
    double fixed = ms.getFirst();
    for (int term = 3; term < ms.size(); term++) {
      fixed += ms.get(term) * meanUnits[term];
    }
    // A token's pairs, or an answer's context, are as many as they were on average.
    double unit = ms.get(1) + ms.get(2) * meanUnits[2] / meanUnits[1];
    return Cost.newBuilder().setFixedMs(fixed).setUnitMs(unit).build();
  }
}
