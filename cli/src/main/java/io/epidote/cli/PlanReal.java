package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.model.Precision;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Simulation;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The simulator beside a real engine on this machine: one node that prefills and decodes, by a
 * profile that {@code epidote profile} measured of the same model, precision and threads.
 *
 * @param profile of this machine
 * @param model folder
 */
record PlanReal(CostProfile profile, Path model, Precision precision, int threads) {
  private static final List<Double> RATES = List.of(1.0, 2.0, 3.0);
  private static final String KIND = "pictures=0,words=128,answer=64";
  private static final int WARM_UP = 12;
  private static final double APART_MS = 800;
  private static final long SEED = 9;
  private static final String NODES = "PD";

  private ClusterOptions options() {
    ClusterOptions options = new ClusterOptions();
    options.model.folder = model;
    options.node.precisions = StagePrecisions.all(precision);
    options.node.threads = threads;
    options.node.kvCache = new Bytes(512L << 20);
    // Prompts are of the same few hundred words: none is to be found again.
    options.node.noPrefixCache = true;
    return options;
  }

  /**
   * Adds figures of how far the simulator was off.
   *
   * @param host what processes take, measured without the engine
   * @param count of requests at each rate
   */
  void compare(Host host, int count, Progress progress, Report report) {
    PlanWorkload workload = PlanWorkload.parse(KIND);
    List<NodeSpec> nodes = NodeSpec.parseList(NODES);
    double[] ttft = new double[RATES.size()];
    double[] tpot = new double[RATES.size()];
    try (PlanCluster clusters = PlanCluster.open(profile, model)) {
      List<Request> mix = workload.simulated(clusters.model());
      for (int i = 0; i < RATES.size(); i++) {
        double rate = RATES.get(i);
        Schedule schedule = Schedule.poisson(mix, rate, count, WARM_UP, APART_MS, SEED);
        Outcome simulated =
            Simulation.run(clusters.shape(options(), nodes, Targets.NONE, host), schedule);
        Outcome real;
        try (PlanRun run = PlanRun.start(options(), nodes, workload, mix, progress)) {
          progress.update("the real engine at %s requests/s".formatted(rate));
          real = run.serve(schedule);
        }
        ttft[i] = Math.abs(simulated.ttft(0.5) / real.ttft(0.5) - 1);
        tpot[i] = Math.abs(simulated.tpot(0.5) / real.tpot(0.5) - 1);
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("real_engine", NODES);
        row.put("rate", rate);
        row.put("prompt_tokens", mix.getFirst().promptTokens());
        row.put("ttft_ms_p50", Report.rounded(real.ttft(0.5)));
        row.put("sim_ttft_ms_p50", Report.rounded(simulated.ttft(0.5)));
        row.put("tpot_ms_p50", Report.rounded(real.tpot(0.5)));
        row.put("sim_tpot_ms_p50", Report.rounded(simulated.tpot(0.5)));
        report.row(row);
      }
    }
    report
        .figure("sim_real_ttft_p50_error", Report.rounded(mean(ttft)))
        .figure("sim_real_tpot_p50_error", Report.rounded(mean(tpot)));
  }

  private static double mean(double[] errors) {
    return Arrays.stream(errors).average().orElse(Double.NaN);
  }
}
