package io.epidote.engine.cost;

import static java.util.Objects.requireNonNull;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What steps of one stage take: a sum over its terms.
 *
 * @param ms milliseconds a unit of each term, none negative
 */
public record StageCost(CostStage stage, List<Double> ms) {
  public StageCost {
    requireNonNull(stage, "stage is null");
    ms = List.copyOf(ms);
    if (ms.size() != stage.terms().size() || ms.stream().anyMatch(cost -> !(cost >= 0))) {
      throw new IllegalArgumentException(
          "%s has the terms %s, each at least 0; got %s".formatted(stage, stage.terms(), ms));
    }
  }

  /**
   * Of named terms; those that are missing cost nothing.
   *
   * @param costs by the terms' names; other names are passed over
   */
  public static StageCost of(CostStage stage, Map<String, Double> costs) {
    return new StageCost(
        stage, stage.terms().stream().map(term -> costs.getOrDefault(term, 0.0)).toList());
  }

  /** Milliseconds of one step. */
  public double ms(StepWork work) {
    if (work.stage() != stage) {
      throw new IllegalArgumentException("costs of %s do not tell of %s".formatted(stage, work));
    }
    double[] units = work.units();
    double sum = 0;
    for (int term = 0; term < units.length; term++) {
      sum += ms.get(term) * units[term];
    }
    return sum;
  }

  /** Of a term by its name. */
  public double of(String term) {
    return ms.get(stage.terms().indexOf(term));
  }

  /** Of a machine that is that many times faster. */
  public StageCost faster(double times) {
    return new StageCost(stage, ms.stream().map(cost -> cost / times).toList());
  }

  /** By the terms' names, in order. */
  public Map<String, Double> byName() {
    Map<String, Double> costs = new LinkedHashMap<>();
    for (int term = 0; term < ms.size(); term++) {
      costs.put(stage.terms().get(term), ms.get(term));
    }
    return costs;
  }
}
