package io.epidote.cli;

import io.epidote.planner.Layout;
import io.epidote.planner.sim.ClusterShape;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Simulation;
import io.epidote.router.request.Slo;
import io.epidote.router.roles.RoleRules;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** The ablation of {@link BenchRolesCommand} in virtual time. Means over a few seeds. */
final class RoleAblationSimulation {
  private static final int SEEDS = 4;

  private final ClusterShape shape;
  private final List<Request> requests;
  private final double rate;

  /** Means over requests, in milliseconds. */
  record Times(double latency, double ttft, double tpot) {}

  /**
   * @param nodes with which it begins
   * @param rate requests a second
   * @param answers of each request, the tokens of its answer
   */
  RoleAblationSimulation(PlanCluster clusters, String nodes, double rate, int[] answers) {
    this.rate = rate;
    this.shape =
        clusters.shape(
            RoleTraceSimulation.options(clusters.profile(), new Layout(1, 1, 1, 0, 0, 0)),
            NodeSpec.parseList(nodes),
            ClusterShape.Targets.NONE,
            RoleTraceSimulation.HOST);
    List<Integer> lengths = Arrays.stream(answers).distinct().boxed().toList();
    List<Request> kinds =
        PlanWorkload.parse(
                String.join(
                    ";",
                    lengths.stream()
                        .map(tokens ->
                            "pictures=1,size=4032x3024,words=%d,answer=%d"
                                .formatted(BenchRolesCommand.WORDS, tokens))
                        .toList()))
            .simulated(clusters.model());
    this.requests =
        Arrays.stream(answers).mapToObj(tokens -> kinds.get(lengths.indexOf(tokens))).toList();
  }

  /** Nodes that are held as they are. */
  Times held() {
    return run(Optional.empty());
  }

  /** A router that changes them. */
  Times switching(RoleRules rules) {
    return run(Optional.of(rules));
  }

  private Times run(Optional<RoleRules> rules) {
    double latency = 0;
    double ttft = 0;
    double tpot = 0;
    for (int seed = 0; seed < SEEDS; seed++) {
      Schedule schedule = Schedule.poisson(requests, rate, seed);
      Outcome outcome =
          rules
              .map(each ->
                  Simulation.run(
                      shape, schedule, RoleTraceSimulation.switching(each, Slo.NONE, () -> {})))
              .orElseGet(() -> Simulation.run(shape, schedule));
      for (int i = 0; i < requests.size(); i++) {
        double token = outcome.tpotMs()[i];
        latency += outcome.ttftMs()[i] + token * (requests.get(i).answerTokens() - 1);
        ttft += outcome.ttftMs()[i];
        tpot += token;
      }
    }
    int all = SEEDS * requests.size();
    return new Times(latency / all, ttft / all, tpot / all);
  }
}
