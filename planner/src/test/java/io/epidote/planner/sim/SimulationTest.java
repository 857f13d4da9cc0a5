package io.epidote.planner.sim;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StageCost;
import io.epidote.node.engine.QueueOrder;
import io.epidote.node.transfer.TransferOptions.Pace;
import io.epidote.planner.sim.ClusterShape.Device;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Room;
import io.epidote.planner.sim.ClusterShape.Routing;
import io.epidote.planner.sim.ClusterShape.Scheduling;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.planner.sim.Request.Span;
import io.epidote.prefill.PrefillConfig;
import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.PlacementRules;
import io.epidote.router.cluster.Sharding;
import io.epidote.router.cluster.Topology;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class SimulationTest {
  private static final int TILE_TOKENS = 64;

  private static Set<Stage> stages(String letters) {
    Set<Stage> stages = EnumSet.noneOf(Stage.class);
    for (char letter : letters.toCharArray()) {
      stages.add(
          switch (letter) {
            case 'E' -> Stage.STAGE_ENCODE;
            case 'P' -> Stage.STAGE_PREFILL;
            default -> Stage.STAGE_DECODE;
          });
    }
    return stages;
  }

  private static ClusterShape cluster(Room room, Host host, String... nodes) {
    List<ClusterShape.Node> all = new ArrayList<>();
    for (String node : nodes) {
      all.add(new ClusterShape.Node(node + "-" + all.size(), stages(node)));
    }
    return new ClusterShape(
        all,
        new Device(
            StageCost.of(CostStage.ENCODE, Map.of("tile_ms", 40.0)),
            StageCost.of(CostStage.PREFILL, Map.of("prefill_step_ms", 3.0, "prompt_token_ms", 0.1)),
            StageCost.of(CostStage.DECODE, Map.of("decode_step_ms", 10.0, "decode_token_ms", 0.05)),
            OptionalDouble.of(0),
            16,
            4096,
            16384,
            Optional.of(new Pace(1e12, 0)),
            4096,
            _ -> 0),
        _ -> room,
        new Scheduling(
            PrefillConfig.of(Set.of(), false, "").withOrder(QueueOrder.FCFS, false),
            64,
            QueueOrder.FCFS,
            QueueOrder.FCFS),
        new Routing(PlacementRules.FREE, Targets.NONE),
        host);
  }

  private static final Room LARGE = new Room(100_000, 0, 10_000, 10_000);

  private static Request pictures(int count, int tiles, int answer) {
    List<Integer> each = new ArrayList<>();
    List<Span> spans = new ArrayList<>();
    int position = 4;
    for (int picture = 0; picture < count; picture++) {
      each.add(tiles);
      for (int tile = 0; tile < tiles; tile++) {
        spans.add(new Span(picture, tile, position, TILE_TOKENS));
        position += TILE_TOKENS + 2;
      }
    }
    return new Request(each, spans, position + 16, answer);
  }

  private static Outcome one(ClusterShape shape, Request request) {
    return Simulation.run(shape, new Schedule(List.of(new Schedule.Sending(0, request)), 0));
  }

  @Test
  void aTextRequestTakesWhatItsStepsTake() {
    Outcome outcome = one(cluster(LARGE, Host.NONE, "P", "D"), pictures(0, 0, 11));
    assertThat(outcome.ttftMs()[0]).isCloseTo(3 + 20 * 0.1, within(1e-6));
    // A chunk of KV blocks comes with the first token; the link is as good as none.
    assertThat(outcome.tpotMs()[0]).isCloseTo(10.05, within(1e-3));
  }

  @Test
  void messagesTakeTheirHops() {
    Host host = new Host(2, 0.5, 1e12, 500);
    Outcome outcome = one(cluster(LARGE, host, "P", "D"), pictures(0, 0, 1));
    // The request, to prefill, its step, to the router, to the client.
    assertThat(outcome.ttftMs()[0]).isCloseTo(2 + 0.5 + 5 + 0.5 + 0.5, within(1e-6));
  }

  @Test
  void tilesAreDividedOverEncodeNodes() {
    Request request = pictures(4, 6, 4);
    double alone = one(cluster(LARGE, Host.NONE, "E", "P", "D"), request).ttftMs()[0];
    double divided = one(cluster(LARGE, Host.NONE, "E", "E", "E", "P", "D"), request).ttftMs()[0];
    assertThat(alone).isGreaterThan(24 * 40);
    // A third of the tiles each; what of prefill comes after the last tile does not shrink.
    assertThat(divided).isLessThan(alone / 2).isGreaterThan(8 * 40);
  }

  @Test
  void stagesOfANodeTakeTurns() {
    // A tile or a chunk stands between any two tokens of those that are answered meanwhile.
    Schedule schedule = Schedule.poisson(List.of(pictures(1, 6, 40)), 2, 60, 0, 0, 3);
    Outcome apart = Simulation.run(cluster(LARGE, Host.NONE, "E", "P", "D"), schedule);
    Outcome together = Simulation.run(cluster(LARGE, Host.NONE, "EPD", "EPD", "EPD"), schedule);
    assertThat(apart.tpot(0.5)).isLessThan(11);
    assertThat(together.tpot(0.9)).isGreaterThan(1.2 * apart.tpot(0.9));
  }

  @Test
  void theSameSeedGivesTheSame() {
    ClusterShape shape = cluster(LARGE, new Host(1, 0.3, 1e9, 500), "E", "E", "P", "PD", "EPD");
    Schedule schedule =
        Schedule.poisson(List.of(pictures(2, 5, 30), pictures(0, 0, 9)), 6, 300, 5, 500, 11);
    Outcome first = Simulation.run(shape, schedule);
    Outcome again = Simulation.run(shape, schedule);
    assertThat(first.ttftMs()).isEqualTo(again.ttftMs());
    assertThat(first.tpotMs()).isEqualTo(again.tpotMs());
  }

  @Test
  void moreIsNotMetThanCanBeServed() {
    ClusterShape shape = cluster(LARGE, Host.NONE, "E", "P", "D");
    List<Request> mix = List.of(pictures(1, 5, 8));
    Targets targets = new Targets(OptionalDouble.of(1500), OptionalDouble.of(20));
    // A request takes 200 ms of the encode node.
    assertThat(Simulation.meets(shape, Schedule.poisson(mix, 2, 300, 3, 500, 5), targets, 0.9))
        .isTrue();
    assertThat(Simulation.meets(shape, Schedule.poisson(mix, 6, 300, 3, 500, 5), targets, 0.9))
        .isFalse();
  }

  /** Of nodes that hold hardly more than one request. */
  @Property(tries = 60)
  void everyRequestEndsAndEveryBlockIsGivenBack(
      @ForAll long seed,
      @ForAll @IntRange(min = 0, max = 5) int layout,
      @ForAll @IntRange(min = 0, max = 60) int spareBlocks) {
    List<String[]> layouts =
        List.of(
            new String[] {"E", "P", "D"},
            new String[] {"EPD", "EPD"},
            new String[] {"E", "E", "PD", "PD"},
            new String[] {"EP", "EP", "D"},
            new String[] {"PD", "ED"},
            new String[] {"E", "P", "D", "EPD"});
    Request large = pictures(3, 4, 60);
    int blocks = (large.promptTokens() + large.answerTokens()) / 16 + 1;
    Room room = new Room(blocks + spareBlocks, 0, 12 + spareBlocks % 7, 12 + spareBlocks % 5);
    Schedule schedule =
        Schedule.poisson(
            List.of(large, pictures(1, 3, 20), pictures(0, 0, 5), pictures(2, 2, 1)),
            8,
            80,
            0,
            0,
            seed);
    ClusterShape shape = cluster(room, new Host(0.5, 0.2, 1e9, 500), layouts.get(layout));
    if (layout == 1 || layout == 2) {
      shape = decodingWherePrefilled(shape, layout == 1 ? Topology.EPD : Topology.E_PD);
    }
    assertThat(Simulation.blocksLeft(shape, schedule)).isZero();
  }

  /**
   * Nodes with room for hardly one request that decode for each other can wait for each other: real
   * ones until a request has waited too long and fails, simulated ones for ever.
   */
  private static ClusterShape decodingWherePrefilled(ClusterShape shape, Topology topology) {
    PlacementRules rules = new PlacementRules(true, Optional.of(topology), Sharding.TILES);
    return new ClusterShape(
        shape.nodes(),
        shape.device(),
        shape.sizes(),
        shape.scheduling(),
        new Routing(rules, Targets.NONE),
        shape.host());
  }

  @Test
  void requestsThatWaitForEachOtherAreNoticed() {
    Request large = pictures(3, 4, 60);
    int blocks = (large.promptTokens() + large.answerTokens()) / 16 + 1;
    List<Request> mix = List.of(large, pictures(1, 3, 20), pictures(0, 0, 5), pictures(2, 2, 1));
    ClusterShape shape =
        cluster(new Room(blocks, 0, 12, 12), new Host(0.5, 0.2, 1e9, 500), "EPD", "EPD");
    // Whether they come to wait for each other is chance.
    assertThatThrownBy(
            () -> {
              for (int seed = 1; seed <= 2000; seed++) {
                Simulation.run(shape, Schedule.poisson(mix, 8, 80, 0, 0, seed));
              }
            })
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("wait for ever");
  }
}
