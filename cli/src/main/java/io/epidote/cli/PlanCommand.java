package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.planner.sim.ClusterShape;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Simulation;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(name = "plan", description = "prototype", mixinStandardHelpOptions = true)
final class PlanCommand implements Callable<Integer> {
  @Option(names = "--profile", converter = EmulationOptions.ProfileConverter.class)
  @Nullable CostProfile profile;

  @Option(names = "--cases", split = " ")
  List<String> cases = List.of("E,E,E,E,E,E,P,D@2");

  @Option(names = "--workload")
  String workload = "pictures=4";

  @Option(names = "--count")
  int count = 60;

  @Option(names = "--time-scale")
  double timeScale = 2;

  @Option(names = "--json")
  boolean json;

  private ClusterOptions options(CostProfile device) {
    ClusterOptions options = new ClusterOptions();
    options.node.emulation.emulate(device);
    options.node.emulation.timeScale = timeScale;
    return options;
  }

  @Override
  public Integer call() {
    CostProfile device = profile == null ? Home.profile("minicpm-v-2.6-a100") : profile;
    Report report = new Report("plan");
    PlanWorkload load = PlanWorkload.parse(workload);
    try (Progress progress = new Progress();
        PlanCluster clusters =
            PlanCluster.open(device, options(device).modelFolder())) {
      List<Request> kinds = load.simulated(clusters.model());
      Host host = PlanHost.measure(clusters, () -> options(device), progress);
      report.figure("host_request_ms", host.requestMs()).figure("host_hop_ms", host.hopMs());
      for (String each : cases) {
        List<NodeSpec> nodes = NodeSpec.parseList(each.substring(0, each.indexOf('@')));
        double rate = Double.parseDouble(each.substring(each.indexOf('@') + 1));
        Schedule schedule = Schedule.poisson(kinds, rate, count, 20, 1000, 5);
        ClusterShape shape = clusters.shape(options(device), nodes, Targets.NONE, host);
        long start = System.nanoTime();
        Outcome sim = Simulation.run(shape, schedule);
        double simMs = (System.nanoTime() - start) / 1e6;
        progress.update(each);
        Outcome real;
        try (PlanRun run = PlanRun.start(options(device), nodes, load, kinds, progress)) {
          real = run.serve(schedule);
        }
        Map<String, Object> row = new LinkedHashMap<>();
        row.put("case", each);
        for (double q : new double[] {0.5, 0.9, 0.99}) {
          row.put("ttft_" + q, real.ttft(q));
          row.put("ttft_sim_" + q, sim.ttft(q));
          row.put("ttft_err_" + q, sim.ttft(q) / real.ttft(q) - 1);
          row.put("tpot_" + q, real.tpot(q));
          row.put("tpot_sim_" + q, sim.tpot(q));
          row.put("tpot_err_" + q, sim.tpot(q) / real.tpot(q) - 1);
        }
        row.put("sim_ms", simMs);
        report.row(row);
        System.err.println(row);
      }
    }
    report.print(System.out);
    return 0;
  }
}
