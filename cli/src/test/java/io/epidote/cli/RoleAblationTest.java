package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.cli.RoleAblationSimulation.Times;
import io.epidote.engine.emulated.CostProfile;
import java.time.Duration;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The paper's ablation in virtual time; {@code bench roles} measures the same in real time. */
class RoleAblationTest {
  private static final CostProfile DEVICE = Home.profile("minicpm-v-2.6-a100-paper");
  private static final Duration COOLDOWN = Duration.ofSeconds(3);

  private static PlanCluster clusters;
  private static RoleAblationSimulation ablation;
  private static Times held;

  @BeforeAll
  static void open() {
    clusters = PlanCluster.open(DEVICE, RoleTraceSimulation.modelFolder(DEVICE));
    int[] answers = IntStream.range(0, 100).map(number -> number < 10 ? 50 : 500).toArray();
    ablation = new RoleAblationSimulation(clusters, "E,E,E,E,E,P,D,D", 3, answers);
    held = ablation.held();
  }

  @AfterAll
  static void close() {
    clusters.close();
  }

  /** As many nodes encode as before, and more decode. */
  @Test
  void nodesThatEncodeAndDecodeGainTimeForATokenAndLoseNoneForTheFirst() {
    Times switching = ablation.switching(RoleTraceSimulation.rules(COOLDOWN, true));
    assertThat(held.latency() / switching.latency()).isGreaterThan(2.2);
    assertThat(held.tpot() / switching.tpot()).isGreaterThan(2.4);
    assertThat(switching.ttft() / held.ttft()).isLessThan(1);
  }

  /** Whoever takes nodes from encode has the first token later. */
  @Test
  void nodesOfOneStageGainTheOneAtTheCostOfTheOther() {
    Times switching = ablation.switching(RoleTraceSimulation.rules(COOLDOWN, false));
    assertThat(held.tpot() / switching.tpot()).isGreaterThan(2.4);
    assertThat(switching.ttft() / held.ttft()).isGreaterThan(1.5);
  }
}
