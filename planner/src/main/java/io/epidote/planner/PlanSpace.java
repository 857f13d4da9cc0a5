package io.epidote.planner;

import io.epidote.node.engine.QueueOrder.Policy;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * The plans that there are. Layouts have nodes of one, two or three kinds that go together:
 * aggregated, with encoders before aggregated nodes, encode with prefill, prefill with decode, and
 * all apart.
 *
 * @param devices at the most
 * @param fewer whether it may be worth while to use fewer
 * @param media whether requests have any
 */
public record PlanSpace(int devices, boolean fewer, boolean media) {
  private static final List<Integer> STEPS = List.of(2048, 512, 8192);
  private static final List<Integer> BATCHES = List.of(64, 16, 256);
  private static final List<Policy> ORDERS = List.of(Policy.FCFS, Policy.SLACK, Policy.SJF);

  /** Places in {@link Layout#counts} of the kinds that go together. */
  private static final int[][] FAMILIES = {{0, 1, 2}, {0, 4}, {3, 2}, {0, 5}, {5}};

  private static final int[][] TEXT_FAMILIES = {{1, 2}, {4}};

  private int[][] families() {
    return media ? FAMILIES : TEXT_FAMILIES;
  }

  /** How many layouts there are; in steps of one device. */
  long layouts() {
    long all = 0;
    for (int used = fewer ? 1 : devices; used <= devices; used++) {
      for (int[] family : families()) {
        all +=
            switch (family.length) {
              case 1 -> 1;
              case 2 -> used - 1;
              default -> (used - 1L) * (used - 2) / 2;
            };
      }
    }
    return all;
  }

  /** How many plans there are. */
  public long size() {
    return layouts() * STEPS.size() * BATCHES.size() * ORDERS.size() * (media ? 2 : 1);
  }

  /** All layouts. */
  public List<Layout> allLayouts() {
    List<Layout> all = new ArrayList<>();
    for (int used = devices; used >= (fewer ? 1 : devices); used--) {
      for (int[] family : families()) {
        if (used >= family.length) {
          fill(new int[6], family, 0, used, all);
        }
      }
    }
    return all;
  }

  private static void fill(int[] counts, int[] family, int at, int left, List<Layout> all) {
    if (at == family.length - 1) {
      int[] whole = counts.clone();
      whole[family[at]] = left;
      all.add(Layout.of(whole));
      return;
    }
    for (int count = 1; count <= left - (family.length - 1 - at); count++) {
      counts[family[at]] = count;
      fill(counts, family, at + 1, left - count, all);
    }
    counts[family[at]] = 0;
  }

  /** A layout with every setting, the usual ones first. */
  List<Plan> settings(Layout layout) {
    List<Plan> all = new ArrayList<>();
    for (boolean divides : media ? new boolean[] {true, false} : new boolean[] {true}) {
      for (Policy order : ORDERS) {
        for (int step : STEPS) {
          for (int batch : BATCHES) {
            all.add(new Plan(layout, step, batch, order, divides));
          }
        }
      }
    }
    return all;
  }

  /** A family's layout whose devices are divided like this work, as nearly as whole ones allow. */
  private Layout balanced(int[] family, int used, double[] work) {
    int[] counts = new int[6];
    for (int kind : family) {
      counts[kind] = 1;
    }
    for (int left = used - family.length; left > 0; left--) {
      int most = family[0];
      for (int kind : family) {
        if (work[kind] / counts[kind] > work[most] / counts[most]) {
          most = kind;
        }
      }
      counts[most]++;
    }
    return Layout.of(counts);
  }

  /** One layout of each family, balanced by what a request takes of each stage. */
  List<Layout> balanced(Capacity capacity) {
    List<Layout> layouts = new ArrayList<>();
    for (int[] family : families()) {
      if (devices >= family.length) {
        layouts.add(balanced(family, devices, work(family, capacity)));
      }
    }
    return layouts;
  }

  private static double[] work(int[] family, Capacity capacity) {
    double e = capacity.encodeMs();
    double p = capacity.prefillMs();
    double d = capacity.decodeMs(64);
    // Encoders before aggregated nodes: half of the work there is theirs.
    boolean helps = family.length == 2 && family[1] == 5;
    return new double[] {helps ? e / 2 : e, p, d, e + p, p + d, helps ? e / 2 + p + d : e + p + d};
  }

  /**
   * Plans near one: some devices given to another kind of the family, or another setting.
   *
   * @param count of plans to try for
   */
  Set<Plan> near(Plan plan, int count, SplittableRandom random) {
    Set<Plan> near = new LinkedHashSet<>();
    for (int i = 0; i < count; i++) {
      Plan next = plan;
      if (random.nextInt(3) > 0) {
        next = next.with(moved(plan.layout(), random));
      }
      if (random.nextInt(3) == 0) {
        List<Plan> other = settings(next.layout());
        Plan any = other.get(random.nextInt(other.size()));
        next =
            switch (random.nextInt(4)) {
              case 0 ->
                  new Plan(
                      next.layout(),
                      any.prefillStep(),
                      next.decodeBatch(),
                      next.order(),
                      next.divides());
              case 1 ->
                  new Plan(
                      next.layout(),
                      next.prefillStep(),
                      any.decodeBatch(),
                      next.order(),
                      next.divides());
              case 2 ->
                  new Plan(
                      next.layout(),
                      next.prefillStep(),
                      next.decodeBatch(),
                      any.order(),
                      next.divides());
              default ->
                  new Plan(
                      next.layout(),
                      next.prefillStep(),
                      next.decodeBatch(),
                      next.order(),
                      any.divides());
            };
      }
      near.add(next);
    }
    near.remove(plan);
    return near;
  }

  private Layout moved(Layout layout, SplittableRandom random) {
    int[] counts = layout.counts();
    List<Integer> kinds = new ArrayList<>();
    for (int kind = 0; kind < counts.length; kind++) {
      if (counts[kind] > 0) {
        kinds.add(kind);
      }
    }
    int from = kinds.get(random.nextInt(kinds.size()));
    int to = kinds.get(random.nextInt(kinds.size()));
    // Steps of all sizes up to an eighth of the devices.
    int most = Math.max(1, devices / 8);
    int step = (int) Math.max(1, Math.round(Math.pow(most, random.nextDouble())));
    int moved = Math.min(step, counts[from] - 1);
    counts[from] -= moved;
    // Where fewer may do, some are given back.
    if (!fewer || random.nextInt(3) > 0) {
      counts[to] += moved;
    }
    return Layout.of(counts);
  }
}
