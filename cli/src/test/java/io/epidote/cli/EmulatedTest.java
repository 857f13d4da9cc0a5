package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.StageTiming;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Emulated nodes do what real ones do, but for the arithmetic, and say that they do not. */
class EmulatedTest {
  private static final int TOKENS = 24;

  private record Shown(List<List<Integer>> answers, List<StageTiming> stages) {}

  @Test
  void answersAreTheSameInEveryTopologyAndNamedEmulated() {
    Shown aggregated = ask("EPD");
    assertThat(ask("E,E,P,D").answers()).isEqualTo(aggregated.answers());
    assertThat(aggregated.answers()).doesNotHaveDuplicates();
    assertThat(aggregated.answers()).allSatisfy(answer -> assertThat(answer).hasSize(TOKENS));
    assertThat(aggregated.stages())
        .hasSize(3)
        .allSatisfy(stage -> assertThat(stage.getPrecision()).isEqualTo("emulated"));
    // The last answer's prompt is computed in steps of its own.
    assertThat(aggregated.stages().get(2).getComputeMs()).isBetween(2.0 * (TOKENS - 1), 500.0);
  }

  private static Shown ask(String nodes) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(
        CostProfile.parse("tile_ms:1,prefill_step_ms:1,prompt_token_ms:0.01,decode_step_ms:2"));
    List<byte[]> pictures =
        AskCommand.read(
            List.of(
                Home.model("scenes").resolve("examples/small.png"),
                Home.model("scenes").resolve("examples/large.png")));
    try (Cluster cluster = LocalCluster.start(options, NodeSpec.parseList(nodes), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      List<InferenceClient.Answer> answers =
          IntStream.range(0, 4)
              .mapToObj(i -> client.generate(question(pictures, i), text -> {}))
              .toList();
      assertThat(client.load().getNodesList().stream().map(NodeStatus::getWeightsList))
          .allSatisfy(groups ->
              assertThat(groups)
                  .isNotEmpty()
                  .allSatisfy(group -> assertThat(group.getPrecision()).isEqualTo("emulated")));
      ClusterAssertions.assertNothingInUse(cluster, NodeSpec.parseList(nodes).size());
      return new Shown(
          answers.stream().map(InferenceClient.Answer::tokenIds).toList(),
          answers.getLast().finished().getTimeline().getStagesList());
    }
  }

  private static GenerateRequest question(List<byte[]> pictures, int which) {
    return InferenceClient.question(
        "",
        List.of(pictures.get(which % 2), pictures.get(which / 2)),
        "which?",
        SamplingParams.newBuilder().setTemperature(0).setMaxTokens(TOKENS).build());
  }
}
