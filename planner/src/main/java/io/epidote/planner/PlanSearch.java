package io.epidote.planner;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/**
 * Finds the plan of most goodput less what its devices cost. Where there are few plans, all are
 * looked at, those of most capacity first: what could not be better than the best so far is passed
 * over, and most others take one simulation, at the rate that they would have to serve. Where there
 * are many, Bayesian optimisation decides which to simulate next. The same seed finds the same.
 */
public final class PlanSearch {
  /** Plans that are all looked at. */
  private static final int FEW = 5000;

  /** Simulated at a time, as many on every machine, so that what is found is the same. */
  private static final int AT_A_TIME = 2;

  /** How much better a plan has to be than one that was found before. */
  private static final double WORTHWHILE = 0.01;

  private static final int ROUNDS = 12;

  /** Relative precision of goodput while it is searched for among many plans. */
  private static final double ROUGH = 0.05;

  private static final int POOL = 400;

  /** Rounds without anything better after which nothing is expected. */
  private static final int PATIENCE = 4;

  private final PlanSpace space;
  private final Capacity capacity;
  private final Goodput.Trial trial;
  private final Goodput goodput;
  private final Goodput rough;
  private final double costPerDevice;
  private final Consumer<String> progress;

  /**
   * What was found.
   *
   * @param goodput requests a second
   * @param looked plans of which something was simulated
   * @param exhaustive whether all plans were looked at
   */
  public record Found(Plan plan, double goodput, int looked, boolean exhaustive) {}

  private record Seen(Plan plan, double goodput, double value) {}

  /**
   * @param trial safe for use by several threads
   * @param exact relative precision of goodput
   * @param costPerDevice in requests a second
   * @param progress is told how far the search is
   */
  public PlanSearch(
      PlanSpace space,
      Capacity capacity,
      Goodput.Trial trial,
      double exact,
      double costPerDevice,
      Consumer<String> progress) {
    this.space = space;
    this.capacity = capacity;
    this.trial = trial;
    this.goodput = new Goodput(trial, exact);
    this.rough = new Goodput(trial, Math.max(exact, ROUGH));
    this.costPerDevice = costPerDevice;
    this.progress = progress;
  }

  public Found search(long seed) {
    return space.size() <= FEW ? all() : guided(seed);
  }

  private double cost(Plan plan) {
    return costPerDevice * plan.layout().devices();
  }

  private double bound(Plan plan) {
    return capacity.rate(plan) - cost(plan);
  }

  private Seen measure(Plan plan, Goodput exactly) {
    double found = exactly.of(plan, capacity.rate(plan));
    return new Seen(plan, found, found - cost(plan));
  }

  private <A, B> List<B> together(List<A> items, java.util.function.Function<A, B> work) {
    return items.parallelStream().map(work).toList();
  }

  private Found all() {
    List<Plan> plans = new ArrayList<>();
    space.allLayouts().forEach(layout -> plans.addAll(space.settings(layout)));
    // Sorting is stable: of plans alike, those with usual settings come first.
    plans.sort(Comparator.comparingDouble(plan -> -bound(plan)));
    List<Seen> first =
        together(space.balanced(capacity), layout -> measure(Plan.usual(layout), goodput));
    Seen best = first.stream().max(Comparator.comparingDouble(Seen::value)).orElseThrow();
    int looked = first.size();
    for (int at = 0; at < plans.size(); ) {
      List<Plan> next = new ArrayList<>();
      double least = better(best);
      while (next.size() < AT_A_TIME && at < plans.size()) {
        Plan plan = plans.get(at++);
        if (bound(plan) > least) {
          next.add(plan);
        }
      }
      looked += next.size();
      progress.accept("%d of %d plans, best %s".formatted(at, plans.size(), words(best)));
      List<Seen> better =
          together(
                  next,
                  plan -> trial.meets(plan, least + cost(plan)) ? measure(plan, goodput) : null)
              .stream()
              .filter(seen -> seen != null && seen.value() > least)
              .toList();
      for (Seen seen : better) {
        best = seen.value() > best.value() ? seen : best;
      }
    }
    return new Found(best.plan(), best.goodput(), looked, true);
  }

  /** What a plan must be worth to take the place of the best. */
  private static double better(Seen best) {
    return best.value() + WORTHWHILE * Math.abs(best.value());
  }

  private static String words(Seen best) {
    return "%s: %.3g requests/s".formatted(best.plan().layout().word(), best.goodput());
  }

  private Found guided(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    Map<Plan, Seen> seen = new LinkedHashMap<>();
    note(seen, space.balanced(capacity).stream().map(Plan::usual).toList());
    Seen best = best(seen);
    int idle = 0;
    for (int round = 0; round < ROUNDS && idle < PATIENCE; round++) {
      progress.accept("round %d of at most %d, best %s".formatted(round + 1, ROUNDS, words(best)));
      List<Plan> next = next(seen, best, random);
      if (next.isEmpty()) {
        break;
      }
      note(seen, next);
      Seen now = best(seen);
      idle = now.value() > best.value() ? 0 : idle + 1;
      best = now;
    }
    return new Found(best.plan(), measure(best.plan(), goodput).goodput(), seen.size(), false);
  }

  private void note(Map<Plan, Seen> seen, List<Plan> plans) {
    together(plans, plan -> measure(plan, rough)).forEach(each -> seen.put(each.plan(), each));
  }

  private static Seen best(Map<Plan, Seen> seen) {
    return seen.values().stream().max(Comparator.comparingDouble(Seen::value)).orElseThrow();
  }

  /** The plans that are expected to improve most, each as if what it takes were known already. */
  private List<Plan> next(Map<Plan, Seen> seen, Seen best, SplittableRandom random) {
    Set<Plan> pool = new LinkedHashSet<>();
    seen.values().stream()
        .sorted(Comparator.comparingDouble(each -> -each.value()))
        .limit(3)
        .forEach(each -> pool.addAll(space.near(each.plan(), POOL / 3, random)));
    pool.removeIf(plan -> seen.containsKey(plan) || bound(plan) <= better(best));
    List<Plan> plans = new ArrayList<>(seen.keySet());
    List<Double> reached =
        new ArrayList<>(
            seen.values().stream()
                .map(each -> each.goodput() / capacity.rate(each.plan()))
                .toList());
    List<Plan> next = new ArrayList<>();
    Set<Plan> left = new HashSet<>(pool);
    while (next.size() < AT_A_TIME && !left.isEmpty()) {
      Surrogate surrogate =
          new Surrogate(plans, reached.stream().mapToDouble(Double::doubleValue).toArray());
      List<Plan> order = pool.stream().filter(left::contains).toList();
      double[] gains =
          order.stream()
              .mapToDouble(plan ->
                  surrogate.expectedImprovement(
                      plan, capacity.rate(plan), cost(plan), best.value()))
              .toArray();
      int most =
          IntStream.range(0, gains.length)
              .boxed()
              .max(Comparator.comparingDouble(i -> gains[i]))
              .orElseThrow();
      Plan chosen = order.get(most);
      left.remove(chosen);
      next.add(chosen);
      plans.add(chosen);
      // The constant liar (Ginsbourger et al., 2010): the next one is chosen as if this one were
      // no better than the best.
      reached.add(Math.min(1, (best.value() + cost(chosen)) / capacity.rate(chosen)));
    }
    return next;
  }
}
