package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.error.EpidoteException.TooLarge;
import io.epidote.planner.Layout;
import io.epidote.planner.Plan;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Simulation;
import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.RoleSwitch;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;

/**
 * A router that switches roles by itself beside the best allocation that stays as it is, on one
 * trace. Every allocation of the devices is simulated on the trace itself; those that do best there
 * are measured, and the best of these is what the router is compared with, and what it begins with.
 */
final class RoleTraceBench {
  private static final Targets TARGETS =
      new Targets(OptionalDouble.of(2000), OptionalDouble.of(50));

  /** Processes on this machine, about; it decides between allocations alone. */
  private static final Host HOST = new Host(2, 0.5, 1e9, 500);

  private final CostProfile device;
  private final RoleTrace trace;
  private final double seconds;
  private final Duration cooldown;
  private final Report report;
  private final Progress progress;
  private final Samples samples = new Samples();

  private record Simulated(Layout layout, double attainment) {}

  /** What was measured of one allocation, or of the router that changes it. */
  private record Measured(double attainment, ExplainResponse roles) {}

  RoleTraceBench(
      CostProfile device,
      RoleTrace trace,
      double seconds,
      Duration cooldown,
      Report report,
      Progress progress) {
    this.device = device;
    this.trace = trace;
    this.seconds = seconds;
    this.cooldown = cooldown;
    this.report = report;
    this.progress = progress;
  }

  /**
   * @param devices to be used
   * @param candidates allocations that are measured
   */
  void run(int devices, int candidates, int rounds) {
    PlanWorkload workload = PlanWorkload.parse(RoleTrace.KINDS);
    try (PlanCluster clusters =
        PlanCluster.open(device, options(new Layout(1, 1, 1, 0, 0, 0)).modelFolder())) {
      List<Request> kinds = workload.simulated(clusters.model());
      List<Simulated> best = simulate(clusters, kinds, devices).subList(0, candidates);
      for (int round = 0; round < rounds; round++) {
        Schedule schedule = trace.schedule(kinds, seconds, 7 + round);
        for (Simulated each : best) {
          String name = "fixed %s".formatted(each.layout().word());
          samples.add(
              each.layout().word(),
              measure(name, each.layout(), "manual", schedule, workload, kinds).attainment());
        }
        Measured switching =
            measure("switching", best.getFirst().layout(), "auto", schedule, workload, kinds);
        samples.add("switching", switching.attainment());
        samples.add("switches", switching.roles().getSwitchesCount());
        for (RoleSwitch each : switching.roles().getSwitchesList()) {
          report.row(BenchRolesCommand.row(round, each));
        }
      }
      tell(best);
    }
  }

  private void tell(List<Simulated> best) {
    double fixed =
        best.stream().mapToDouble(each -> samples.median(each.layout().word())).max().orElseThrow();
    double switching = samples.median("switching");
    report
        .figure("attainment_best_fixed", Report.rounded(fixed))
        .figure("attainment_switching", Report.rounded(switching))
        .figure("attainment_over_best_fixed", Report.rounded(switching - fixed))
        .figure("switches", samples.median("switches"))
        .figure("switches_cooldown_allows", Math.floor(seconds / (cooldown.toMillis() / 1e3)));
    if (trace == RoleTrace.STEADY) {
      report.figure("switches_on_steady", samples.median("switches"));
    }
  }

  /** All allocations of stages to devices, the best first. */
  private List<Simulated> simulate(PlanCluster clusters, List<Request> kinds, int devices) {
    List<Layout> layouts = new ArrayList<>();
    for (int encode = 1; encode <= devices - 2; encode++) {
      for (int prefill = 1; prefill <= devices - 1 - encode; prefill++) {
        layouts.add(new Layout(encode, prefill, devices - encode - prefill, 0, 0, 0));
      }
    }
    Schedule schedule = trace.schedule(kinds, seconds, 7);
    progress.update("simulating %d allocations".formatted(layouts.size()));
    List<Simulated> all =
        layouts.parallelStream()
            .map(layout -> new Simulated(layout, simulate(clusters, layout, schedule)))
            .sorted(Comparator.comparingDouble(Simulated::attainment).reversed())
            .toList();
    for (Simulated each : all) {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("layout", each.layout().word());
      row.put("simulated_attainment", Report.rounded(each.attainment()));
      report.row(row);
    }
    return all;
  }

  private ClusterOptions options(Layout layout) {
    return PlanTrials.options(device, Plan.usual(layout), TARGETS);
  }

  private double simulate(PlanCluster clusters, Layout layout, Schedule schedule) {
    try {
      Outcome outcome =
          Simulation.run(
              clusters.shape(
                  options(layout), PlanTrials.nodes(Plan.usual(layout)), Targets.NONE, HOST),
              schedule);
      return outcome.attainment(TARGETS);
    } catch (TooLarge e) {
      return 0;
    }
  }

  private Measured measure(
      String name,
      Layout layout,
      String roles,
      Schedule schedule,
      PlanWorkload workload,
      List<Request> kinds) {
    progress.update("%s: %s".formatted(trace.word(), name));
    ClusterOptions options = options(layout);
    options.router.roles = roles;
    options.router.roleCooldown = cooldown;
    TARGETS.ttftMs().ifPresent(ms -> options.router.sloTtftMs = ms);
    TARGETS.tpotMs().ifPresent(ms -> options.router.sloTpotMs = ms);
    try (PlanRun run =
        PlanRun.start(options, PlanTrials.nodes(Plan.usual(layout)), workload, kinds, progress)) {
      Outcome outcome = run.serve(schedule);
      return new Measured(outcome.attainment(TARGETS), run.roles());
    }
  }
}
