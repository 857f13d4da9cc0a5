package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.proto.v1.NodeStatus;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Clusters of devices that ship as profiles. Times are judged by a factor of two and more. */
class EmulatedClusterTest {
  private static final int PICTURES = 4;
  private static final int ANSWER = 3;

  /** Where times do not matter. */
  private static final double FAST = 10;

  @TempDir Path folder;

  private record Seen(InferenceClient.Answer answer, List<NodeStatus> nodes, long tiles) {}

  @ParameterizedTest
  @CsvSource({
    // Tiles of a picture of 4032x3024, tokens of a tile, KV tokens that a decode device has room
    // for.
    "minicpm-v-2.6-a100, 10, 64, 1157000",
    "internvl2-8b-a100, 13, 256, 504600",
    "internvl2-26b-a100, 13, 256, 213000",
  })
  void aPictureCostsWhatItDoesOnTheRealModel(String profile, int tiles, int tokens, int kvTokens) {
    Seen seen = ask(profile, "E,E,P,D", "E+P+D", FAST);
    assertThat(seen.tiles()).isEqualTo(PICTURES * tiles);
    assertThat(seen.answer().finished().getUsage().getMediaTokens())
        .isEqualTo(PICTURES * tiles * tokens);
    assertThat(seen.answer().tokenIds()).hasSize(ANSWER);
    NodeStatus decode =
        seen.nodes().stream()
            .filter(node -> node.getNodeId().equals("decode-0"))
            .findFirst()
            .orElseThrow();
    assertThat(decode.getKvBlocksTotal() * 16.0 / kvTokens).isBetween(0.99, 1.01);
    assertThat(decode.getMediaBlocksTotal()).isZero();
  }

  @Test
  void fourEncodeDevicesAreFasterThanOneAndGiveTheSameAnswer() {
    Seen together = ask("minicpm-v-2.6-a100", "EP,D", "EP+D", 1);
    Seen apart = ask("minicpm-v-2.6-a100", "E,E,E,E,P,D", "E+P+D", 1);
    assertThat(apart.answer().tokenIds()).isEqualTo(together.answer().tokenIds());
    // 40 tiles of 44 ms on one device: it cannot be faster. More than a second is left for this
    // machine.
    double least = 40 * 44;
    assertThat(together.answer().firstTextMillis()).isGreaterThan(0.95 * least);
    assertThat(apart.answer().firstTextMillis())
        .isLessThan(together.answer().firstTextMillis())
        .isGreaterThan(0.95 * least / 4);
  }

  private static Seen ask(String profile, String nodes, String topology, double timeScale) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(Home.profile(profile));
    options.node.emulation.timeScale = timeScale;
    options.router.topology = topology;
    List<NodeSpec> specs = NodeSpec.parseList(nodes);
    try (Cluster cluster = LocalCluster.start(options, specs, new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      HeaderPictures requests = new HeaderPictures(7);
      // What runs for the first time is slow.
      client.generate(requests.request(1, 448, 336, 22, ANSWER), text -> {});
      InferenceClient.Answer answer =
          client.generate(requests.request(PICTURES, 4032, 3024, 22, ANSWER), text -> {});
      long tiles =
          answer.finished().getTimeline().getStagesList().stream()
              .filter(stage -> stage.getStage() == io.epidote.proto.v1.Stage.STAGE_ENCODE)
              .mapToLong(stage -> stage.getUnits())
              .sum();
      assertThat(options.node.emulation.audit.steps(CostStage.PREFILL)).isPositive();
      ClusterAssertions.assertNothingInUse(cluster, specs.size());
      return new Seen(answer, client.load().getNodesList(), tiles);
    }
  }

  @Test
  void everyProfileThatShipsIsOfADeviceThatHoldsAllStages() {
    for (String name : List.of("minicpm-v-2.6-a100", "internvl2-8b-a100", "internvl2-26b-a100")) {
      CostProfile profile = Home.profile(name);
      assertThat(profile.model()).isPresent();
      assertThat(profile.link()).isPresent();
      assertThat(profile.memory().orElseThrow().room(true, true, true).kv()).isPositive();
    }
  }

  @Test
  void comparedSidesAreReported() {
    assertThat(
            BenchOutput.of(
                0, "compare", "--devices", "3", "--rounds", "1", "--time-scale", "10", "--json"))
        .contains(
            "ttft_reduction_2",
            "ttft_reduction_8",
            "sharding_gain_8",
            "time_scale_effect",
            "goodput_epd");
  }
}
