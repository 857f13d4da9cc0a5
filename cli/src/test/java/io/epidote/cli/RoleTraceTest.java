package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.cli.RoleTraceSimulation.Simulated;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.planner.Layout;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Schedule;
import io.epidote.planner.sim.Schedule.Sending;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * Role control over minutes of load, in virtual time: the traces of {@code bench roles}, which
 * measures the same in real time.
 */
class RoleTraceTest {
  private static final CostProfile DEVICE = Home.profile("minicpm-v-2.6-a100-paper");
  private static final Duration COOLDOWN = Duration.ofSeconds(3);

  /** Of all allocations of eight devices, those that are the best ones of some stretch. */
  private static final List<Layout> GOOD =
      List.of(layout(2, 1, 5), layout(3, 1, 4), layout(4, 1, 3), layout(5, 1, 2));

  private static PlanCluster clusters;
  private static RoleTraceSimulation simulation;
  private static List<Request> kinds;

  @BeforeAll
  static void open() {
    clusters = PlanCluster.open(DEVICE, RoleTraceSimulation.modelFolder(DEVICE));
    simulation = new RoleTraceSimulation(clusters);
    kinds = PlanWorkload.parse(RoleTrace.KINDS).simulated(clusters.model());
  }

  @AfterAll
  static void close() {
    clusters.close();
  }

  private static Layout layout(int encode, int prefill, int decode) {
    return new Layout(encode, prefill, decode, 0, 0, 0);
  }

  /** One after the other: how much better switching is than the best allocation that stays. */
  private static List<Double> gains(RoleTrace trace, double seconds, long... seeds) {
    return LongStream.of(seeds)
        .mapToObj(seed -> {
          Schedule schedule = trace.schedule(kinds, seconds, seed);
          Simulated fixed = simulation.fixed(GOOD, schedule).getFirst();
          Simulated switching = simulation.switching(fixed.layout(), schedule, COOLDOWN);
          assertThat(switching.switches())
              .isLessThanOrEqualTo((int) (seconds / COOLDOWN.toSeconds()));
          return switching.attainment() - fixed.attainment();
        })
        .toList();
  }

  private static double mean(List<Double> gains) {
    return gains.stream().mapToDouble(Double::doubleValue).average().orElseThrow();
  }

  /** Or nobody could follow: what a stretch asks for, eight devices can do. */
  @Test
  void everyStretchIsServedByTheAllocationThatSuitsIt() {
    for (RoleTrace.Load load : RoleTrace.LOADS) {
      SplittableRandom random = new SplittableRandom(3);
      List<Sending> sendings = new ArrayList<>();
      add(sendings, kinds.get(0), load.pictures(), random);
      add(sendings, kinds.get(1), load.answers(), random);
      sendings.sort(Comparator.comparingDouble(Sending::ms));
      assertThat(simulation.fixed(GOOD, new Schedule(sendings, 20)).getFirst().attainment())
          .as("%s", load)
          .isGreaterThan(0.95);
    }
  }

  private static void add(List<Sending> to, Request kind, double rate, SplittableRandom random) {
    for (double s = 0; rate > 0 && s < 90; s += -Math.log(1 - random.nextDouble()) / rate) {
      to.add(new Sending(s * 1000, kind));
    }
  }

  @Test
  void aSteadyLoadSwitchesNothingInTenMinutes() {
    for (long seed : new long[] {7, 8}) {
      Schedule schedule = RoleTrace.STEADY.schedule(kinds, 600, seed);
      assertThat(simulation.switching(layout(4, 1, 3), schedule, COOLDOWN).switches())
          .as("seed %d", seed)
          .isZero();
    }
  }

  @Test
  void phasesAreFollowed() {
    assertThat(gains(RoleTrace.PHASES, 240, 7, 8)).allMatch(gain -> gain > 0.3);
  }

  @Test
  void burstsAreFollowed() {
    assertThat(mean(gains(RoleTrace.BURSTY, 240, 7, 8, 9, 10))).isGreaterThan(0.1);
  }

  @Test
  void aLoadThatTurnsTooQuicklyIsNotFollowed() {
    assertThat(mean(gains(RoleTrace.OSCILLATING, 240, 7, 8, 9))).isGreaterThan(-0.02);
  }
}
