package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.error.EpidoteException.TooLarge;
import io.epidote.planner.Layout;
import io.epidote.planner.Plan;
import io.epidote.planner.sim.ClusterShape;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Simulation;
import io.epidote.router.request.Slo;
import io.epidote.router.roles.RolePolicy;
import io.epidote.router.roles.RoleRules;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalDouble;

/**
 * Traces of {@link RoleTrace} in virtual time: what allocations that stay attain, and what a router
 * does that switches by the same {@link RolePolicy} as a real one.
 */
final class RoleTraceSimulation {
  static final Targets TARGETS = new Targets(OptionalDouble.of(2000), OptionalDouble.of(50));

  /** Processes on this machine, about; it decides between allocations alone. */
  static final Host HOST = new Host(2, 0.5, 1e9, 500);

  /** What a switch takes of emulated devices, the drain left out. */
  private static final double LOAD_MS = 200;

  private final PlanCluster clusters;

  /**
   * What an allocation came to.
   *
   * @param attainment share of the requests that met both targets
   * @param switches of nodes, from it to others
   */
  record Simulated(Layout layout, double attainment, int switches) {}

  RoleTraceSimulation(PlanCluster clusters) {
    this.clusters = clusters;
  }

  static ClusterOptions options(CostProfile device, Layout layout) {
    return PlanTrials.options(device, Plan.usual(layout), TARGETS);
  }

  static Path modelFolder(CostProfile device) {
    return options(device, new Layout(1, 1, 1, 0, 0, 0)).modelFolder();
  }

  /** All allocations of the stages to so many devices. */
  static List<Layout> layouts(int devices) {
    List<Layout> layouts = new ArrayList<>();
    for (int encode = 1; encode <= devices - 2; encode++) {
      for (int prefill = 1; prefill <= devices - 1 - encode; prefill++) {
        layouts.add(new Layout(encode, prefill, devices - encode - prefill, 0, 0, 0));
      }
    }
    return layouts;
  }

  /** What each of them attains, the best first. */
  List<Simulated> fixed(List<Layout> layouts, Schedule schedule) {
    return layouts.parallelStream()
        .map(layout -> new Simulated(layout, attainment(layout, schedule), 0))
        .sorted(Comparator.comparingDouble(Simulated::attainment).reversed())
        .toList();
  }

  private double attainment(Layout layout, Schedule schedule) {
    try {
      return Simulation.run(shape(layout), schedule).attainment(TARGETS);
    } catch (TooLarge e) {
      return 0;
    }
  }

  /** What a router attains that begins with it. */
  Simulated switching(Layout layout, Schedule schedule, Duration cooldown) {
    RoleRules rules = rules(cooldown, false);
    int[] switches = new int[1];
    double attainment =
        Simulation.run(
                shape(layout),
                schedule,
                switching(rules, new Slo(TARGETS.ttftMs(), TARGETS.tpotMs()), () -> switches[0]++))
            .attainment(TARGETS);
    return new Simulated(layout, attainment, switches[0]);
  }

  /** As a router has them that is told nothing else. */
  static RoleRules rules(Duration cooldown, boolean shared) {
    RoleRules usual = RoleRules.MANUAL;
    return new RoleRules(
        true, usual.floor(), usual.atOnce(), cooldown, usual.horizon(), usual.drain(), shared);
  }

  /**
   * @param slo targets that the policy tries to meet
   * @param onSwitch is told of each node when it has its new stages
   */
  static Simulation.Switching switching(RoleRules rules, Slo slo, Runnable onSwitch) {
    return new Simulation.Switching(new RolePolicy(rules, slo), rules, LOAD_MS, onSwitch);
  }

  private ClusterShape shape(Layout layout) {
    return clusters.shape(
        options(clusters.profile(), layout),
        PlanTrials.nodes(Plan.usual(layout)),
        Targets.NONE,
        HOST);
  }
}
