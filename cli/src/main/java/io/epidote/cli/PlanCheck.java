package io.epidote.cli;

import io.epidote.planner.Layout;
import io.epidote.planner.Plan;
import io.epidote.planner.PlanSpace;
import io.epidote.planner.sim.ClusterShape;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Simulation;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The simulator beside an emulated cluster: the same requests at the same moments, on layouts at
 * rates that nothing was fitted to. And the planner's choice beside every other layout, with
 * requests that it did not see.
 */
final class PlanCheck {
  private static final long SEED = 5;

  /** Times that differ by less say nothing about which layout is the better. */
  private static final double TELLING = 0.05;

  private static final double MINUTE_S = 60;

  private final PlanTrials trials;
  private final PlanWorkload workload;
  private final double timeScale;
  private final Progress progress;
  private final Report report;
  private final List<Case> cases = new ArrayList<>();

  /** What one layout took at one rate, really and by the simulator. */
  private record Case(double rate, Outcome real, Outcome simulated) {}

  PlanCheck(
      PlanTrials trials,
      PlanWorkload workload,
      double timeScale,
      Progress progress,
      Report report) {
    this.trials = trials;
    this.workload = workload;
    this.timeScale = timeScale;
    this.progress = progress;
    this.report = report;
  }

  /** Layouts of so many devices, each kind once, and one that has more prefill than it needs. */
  static List<Layout> layouts(int devices) {
    return List.of(
        new Layout(devices - 2, 1, 1, 0, 0, 0),
        new Layout(devices - 3, 2, 1, 0, 0, 0),
        new Layout(devices - 1, 0, 0, 0, 1, 0),
        new Layout(0, 0, 1, devices - 1, 0, 0),
        new Layout(0, 0, 0, 0, 0, devices));
  }

  private ClusterOptions options(Plan plan) {
    ClusterOptions options = PlanTrials.options(trials.clusters().profile(), plan, Targets.NONE);
    options.node.emulation.timeScale = timeScale;
    return options;
  }

  /** What this machine's processes take, in the devices' time. */
  Host host() {
    Plan any = Plan.usual(new Layout(1, 1, 1, 0, 0, 0));
    Host host = PlanHost.measure(trials.clusters(), () -> options(any), progress);
    report
        .figure("host_request_ms", Report.rounded(host.requestMs()))
        .figure("host_hop_ms", Report.rounded(host.hopMs()));
    return host;
  }

  /**
   * Serves the same requests twice.
   *
   * @param count of requests
   */
  void compare(Plan plan, double rate, int count, Host host) {
    List<NodeSpec> nodes = PlanTrials.nodes(plan);
    List<Request> mix = trials.mix();
    Schedule schedule = PlanTrials.schedule(mix, rate, count, plan.layout().devices(), SEED);
    ClusterShape shape = trials.clusters().shape(options(plan), nodes, Targets.NONE, host);
    Outcome simulated = Simulation.run(shape, schedule);
    progress.update("%s at %s requests/s".formatted(plan.layout().word(), rate));
    Outcome real;
    try (PlanRun run = PlanRun.start(options(plan), nodes, workload, mix, progress)) {
      real = run.serve(schedule);
    }
    cases.add(new Case(rate, real, simulated));
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("layout", plan.layout().word());
    row.put("rate", rate);
    for (double part : new double[] {0.5, 0.99}) {
      String name = "p" + Math.round(100 * part);
      row.put("ttft_ms_" + name, Report.rounded(real.ttft(part)));
      row.put("sim_ttft_ms_" + name, Report.rounded(simulated.ttft(part)));
      row.put("tpot_ms_" + name, Report.rounded(real.tpot(part)));
      row.put("sim_tpot_ms_" + name, Report.rounded(simulated.tpot(part)));
    }
    report.row(row);
  }

  private static double error(double simulated, double real) {
    return Math.abs(simulated / real - 1);
  }

  /** Figures of what was compared: the mean error over all cases, and the largest. */
  void tellErrors() {
    tell("sim_ttft_p50_error", 0.5, true);
    tell("sim_tpot_p50_error", 0.5, false);
    tell("sim_ttft_p99_error", 0.99, true);
    int right = 0;
    int pairs = 0;
    for (Case a : cases) {
      for (Case b : cases) {
        double real = a.real().ttft(0.5) / b.real().ttft(0.5) - 1;
        if (a.rate() == b.rate() && real > TELLING) {
          pairs++;
          right += a.simulated().ttft(0.5) > b.simulated().ttft(0.5) ? 1 : 0;
        }
      }
    }
    if (pairs > 0) {
      report.figure("order_right", Report.rounded((double) right / pairs));
    }
  }

  private void tell(String name, double part, boolean ttft) {
    double[] errors =
        cases.stream()
            .mapToDouble(each ->
                ttft
                    ? error(each.simulated().ttft(part), each.real().ttft(part))
                    : error(each.simulated().tpot(part), each.real().tpot(part)))
            .toArray();
    report
        .figure(name, Report.rounded(Arrays.stream(errors).average().orElse(Double.NaN)))
        .figure(name + "_most", Report.rounded(Arrays.stream(errors).max().orElse(Double.NaN)));
  }

  /** The planner's choice beside all layouts with usual settings, by requests of another seed. */
  void tellChoice(Plan choice, PlanSpace space, int count) {
    PlanTrials other = trials.with(count, SEED + 1);
    progress.update("all layouts, one by one");
    double[] all =
        space.allLayouts().parallelStream()
            .mapToDouble(layout -> other.goodput(Plan.usual(layout), 0.01))
            .sorted()
            .toArray();
    double own = other.goodput(choice, 0.01);
    double median = (all[(all.length - 1) / 2] + all[all.length / 2]) / 2;
    report
        .figure("goodput", Report.rounded(own))
        .figure("goodput_median", Report.rounded(median))
        .figure("goodput_best_layout", Report.rounded(all[all.length - 1]))
        .figure("goodput_over_median", Report.rounded(own / median))
        .figure("goodput_of_best", Report.rounded(own / all[all.length - 1]));
  }

  /** How many requests a minute one core simulates. */
  void tellSpeed(Plan plan, double rate) {
    PlanTrials many = trials.with(5000, SEED);
    many.run(plan, rate);
    long start = System.nanoTime();
    Outcome outcome = many.run(plan, rate);
    double seconds = (System.nanoTime() - start) / 1e9;
    report.figure("sim_requests_min", Math.round(outcome.ttftMs().length / seconds * MINUTE_S));
  }
}
