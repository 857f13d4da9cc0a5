package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.planner.Layout;
import io.epidote.planner.Plan;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.RoleSwitch;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A router that switches roles by itself beside the best allocation that stays as it is, on one
 * trace. Every allocation of the devices is simulated on the trace itself; those that do best there
 * are measured, and the best of these is what the router is compared with, and what it begins with.
 */
final class RoleTraceBench {
  private final CostProfile device;
  private final RoleTrace trace;
  private final double seconds;
  private final Duration cooldown;
  private final Report report;
  private final Progress progress;
  private final Samples samples = new Samples();

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
    try (PlanCluster clusters = PlanCluster.open(device, RoleTraceSimulation.modelFolder(device))) {
      List<Request> kinds = workload.simulated(clusters.model());
      RoleTraceSimulation simulation = new RoleTraceSimulation(clusters);
      List<RoleTraceSimulation.Simulated> best =
          simulate(simulation, trace.schedule(kinds, seconds, 7), devices).subList(0, candidates);
      for (int round = 0; round < rounds; round++) {
        Schedule schedule = trace.schedule(kinds, seconds, 7 + round);
        for (RoleTraceSimulation.Simulated each : best) {
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

  private void tell(List<RoleTraceSimulation.Simulated> best) {
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

  private List<RoleTraceSimulation.Simulated> simulate(
      RoleTraceSimulation simulation, Schedule schedule, int devices) {
    List<Layout> layouts = RoleTraceSimulation.layouts(devices);
    progress.update("simulating %d allocations".formatted(layouts.size()));
    List<RoleTraceSimulation.Simulated> all = simulation.fixed(layouts, schedule);
    for (RoleTraceSimulation.Simulated each : all) {
      row(each.layout().word(), each.attainment());
    }
    RoleTraceSimulation.Simulated switching =
        simulation.switching(all.getFirst().layout(), schedule, cooldown);
    row("switching, %d times".formatted(switching.switches()), switching.attainment());
    return all;
  }

  private void row(String layout, double attainment) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("layout", layout);
    row.put("simulated_attainment", Report.rounded(attainment));
    report.row(row);
  }

  private Measured measure(
      String name,
      Layout layout,
      String roles,
      Schedule schedule,
      PlanWorkload workload,
      List<Request> kinds) {
    progress.update("%s: %s".formatted(trace.word(), name));
    ClusterOptions options = RoleTraceSimulation.options(device, layout);
    options.router.roles = roles;
    options.router.roleCooldown = cooldown;
    RoleTraceSimulation.TARGETS.ttftMs().ifPresent(ms -> options.router.sloTtftMs = ms);
    RoleTraceSimulation.TARGETS.tpotMs().ifPresent(ms -> options.router.sloTpotMs = ms);
    try (PlanRun run =
        PlanRun.start(options, PlanTrials.nodes(Plan.usual(layout)), workload, kinds, progress)) {
      Outcome outcome = run.serve(schedule);
      return new Measured(outcome.attainment(RoleTraceSimulation.TARGETS), run.roles());
    }
  }
}
