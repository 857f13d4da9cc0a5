package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.engine.QueueOrder.Policy;
import io.epidote.planner.Layout;
import io.epidote.planner.Plan;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Outcome;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Simulation;
import java.util.List;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

class PlanTest {
  private static final Targets TARGETS =
      new Targets(OptionalDouble.of(2600), OptionalDouble.of(40));

  @Test
  void aPlanIsACommandAndValues() {
    Plan plan = new Plan(new Layout(2, 1, 1, 0, 0, 0), 512, 16, Policy.SLACK, false);
    String command = PlanText.command(plan, TARGETS, "minicpm-v-2.6-a100");
    assertThat(command)
        .isEqualTo(
            "./epidote up --engine emulated --profile minicpm-v-2.6-a100 --nodes E,E,P,D --prefill-step 512 --decode-batch 16 --order slack --encode-sharding none --slo-ttft-ms 2600.00 --slo-tpot-ms 40.0000");
    // Every option is one of the command's.
    assertThat(
            new CommandLine(new UpCommand())
                .setCaseInsensitiveEnumValuesAllowed(true)
                .parseArgs(command.substring("./epidote up ".length()).split(" ", -1))
                .matchedOptions())
        .hasSize(9);
    assertThat(PlanText.values(plan, TARGETS))
        .contains("replicas: 2", "\"--stages\", \"encode\"", "\"--encode-sharding\", \"none\"");
  }

  @Test
  void requestsAreReadAndSaidAgain() {
    String kinds = "pictures=4,size=800x600,words=10,answer=7;pictures=0,size=1x1,words=9,answer=1";
    assertThat(PlanWorkload.parse(kinds).word()).isEqualTo(kinds);
    assertThat(PlanWorkload.parse("paper").kinds().getFirst().pictures()).isEqualTo(6);
    for (String wrong : List.of("pictures", "picture=4", "answer=0", "size=4", "words=x")) {
      assertThatThrownBy(() -> PlanWorkload.parse(wrong))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("expected");
    }
  }

  /** One request at a time: what is left of a difference is what the host takes. */
  @Test
  void anIdleClusterTakesWhatTheSimulatorSays() {
    CostProfile device = Home.profile("minicpm-v-2.6-a100");
    PlanWorkload workload = PlanWorkload.parse("pictures=1,answer=20");
    Plan plan = Plan.usual(new Layout(2, 1, 1, 0, 0, 0));
    ClusterOptions options = PlanTrials.options(device, plan, Targets.NONE);
    List<NodeSpec> nodes = PlanTrials.nodes(plan);
    try (PlanCluster clusters = PlanCluster.open(device, options.modelFolder())) {
      List<Request> mix = workload.simulated(clusters.model());
      assertThat(mix.getFirst().tiles()).containsExactly(10);
      Schedule schedule =
          new Schedule(
              java.util.stream.IntStream.range(0, 10)
                  .mapToObj(i -> new Schedule.Sending(700 * i, mix.getFirst()))
                  .toList(),
              6);
      Outcome simulated =
          Simulation.run(clusters.shape(options, nodes, Targets.NONE, Host.NONE), schedule);
      try (PlanRun run = PlanRun.start(options, nodes, workload, mix, new Progress())) {
        Outcome real = run.serve(schedule);
        // Not a measurement: the machine may be busy with other tests.
        assertThat(real.ttft(0.25))
            .isBetween(0.95 * simulated.ttft(0.25), 2 * simulated.ttft(0.25));
        assertThat(real.tpot(0.25))
            .isBetween(0.95 * simulated.tpot(0.25), 2 * simulated.tpot(0.25));
      }
    }
  }
}
