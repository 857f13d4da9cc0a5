package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.planner.Layout;
import io.epidote.planner.sim.ClusterShape;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Schedule.Sending;
import io.epidote.planner.sim.Simulation;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * The ablation of {@link BenchRolesCommand} in virtual time, on nodes that are held in every
 * allocation of the stages: what a router that switches could come to at most.
 */
final class RoleAblationSimulation {
  private static final int SEEDS = 4;

  private final CostProfile device;
  private final double rate;

  /** Of each request, the tokens of its answer. */
  private final int[] answers;

  /** Means over requests, in milliseconds. */
  record Held(String nodes, double latency, double ttft, double tpot) {
    /** As rows of the report are. */
    Map<String, Object> row() {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("simulated", nodes);
      row.put("latency_ms", Report.rounded(latency));
      row.put("ttft_ms", Report.rounded(ttft));
      row.put("tpot_ms", Report.rounded(tpot));
      return row;
    }
  }

  RoleAblationSimulation(CostProfile device, double rate, int[] answers) {
    this.device = device;
    this.rate = rate;
    this.answers = answers.clone();
  }

  /** Nodes as they are named, and then each allocation to as many devices, the best TPOT first. */
  List<Held> run(String nodes) {
    List<Held> all = new ArrayList<>();
    try (PlanCluster clusters = PlanCluster.open(device, RoleTraceSimulation.modelFolder(device))) {
      all.add(held(clusters, nodes));
      RoleTraceSimulation.layouts(NodeSpec.parseList(nodes).size()).parallelStream()
          .map(layout -> held(clusters, String.join(",", layout.nodes())))
          .sorted(Comparator.comparingDouble(Held::tpot))
          .forEachOrdered(all::add);
    }
    return all;
  }

  private Held held(PlanCluster clusters, String nodes) {
    ClusterShape shape =
        clusters.shape(
            RoleTraceSimulation.options(device, new Layout(1, 1, 1, 0, 0, 0)),
            NodeSpec.parseList(nodes),
            ClusterShape.Targets.NONE,
            RoleTraceSimulation.HOST);
    List<Request> kinds =
        PlanWorkload.parse(
                "pictures=1,size=4032x3024,words=22,answer=%d;pictures=1,size=4032x3024,words=22,answer=%d"
                    .formatted(answers[0], answers[answers.length - 1]))
            .simulated(clusters.model());
    double latency = 0;
    double ttft = 0;
    double tpot = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
      Outcome outcome = Simulation.run(shape, schedule(kinds, seed));
      for (int i = 0; i < answers.length; i++) {
        latency += outcome.ttftMs()[i] + outcome.tpotMs()[i] * (answers[i] - 1);
        ttft += outcome.ttftMs()[i];
        tpot += outcome.tpotMs()[i];
      }
    }
    int requests = SEEDS * answers.length;
    return new Held(nodes, latency / requests, ttft / requests, tpot / requests);
  }

  private Schedule schedule(List<Request> kinds, int seed) {
    SplittableRandom random = new SplittableRandom(seed);
    List<Sending> sendings = new ArrayList<>();
    double ms = 0;
    for (int answer : answers) {
      ms += -Math.log(1 - random.nextDouble()) / rate * 1000;
      sendings.add(new Sending(ms, kinds.get(answer == answers[0] ? 0 : 1)));
    }
    return new Schedule(sendings, 0);
  }
}
