package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.model.Precision;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.StageTiming;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class StagePrecisionsTest {
  private static final Path PICTURE = Home.model("scenes").resolve("examples/small.png");

  @Test
  void oneWordIsForAllStages() {
    assertThat(StagePrecisions.parse("int8"))
        .isEqualTo(new StagePrecisions(Precision.INT8, Precision.INT8, Precision.INT8));
    assertThat(StagePrecisions.parse("int8").word()).isEqualTo("int8");
  }

  @Test
  void stagesMayDiffer() {
    StagePrecisions three = StagePrecisions.parse("encode=fp32,prefill=int8,decode=int4");
    assertThat(three)
        .isEqualTo(new StagePrecisions(Precision.FP32, Precision.INT8, Precision.INT4));
    assertThat(StagePrecisions.parse(three.word())).isEqualTo(three);
    assertThat(StagePrecisions.parse("decode=int4").encode()).isEqualTo(Precision.FP32);
  }

  @Test
  void whatCannotBeIsNamed() {
    assertThatThrownBy(() -> StagePrecisions.parse("int2"))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("int2");
    assertThatThrownBy(() -> StagePrecisions.parse("decode=int4,think=int8"))
        .hasMessageContaining("think");
    assertThatThrownBy(() -> StagePrecisions.parse("decode=int4,int8"))
        .hasMessageContaining("STAGE=VALUE");
    assertThatThrownBy(() -> StagePrecisions.parse("decode=int4,decode=int8"))
        .hasMessageContaining("twice");
    assertThatThrownBy(() ->
            StagePrecisions.parse("prefill=int8,decode=int4")
                .decoder(NodeSpec.parseStages("prefill,decode")))
        .hasMessageContaining("int8")
        .hasMessageContaining("int4");
  }

  /** KV blocks are float32 whatever made them, so nodes of different precision work together. */
  @Test
  void theAnswerSaysWhatEachStageComputedWith() {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.precisions = StagePrecisions.parse("encode=fp32,prefill=int8,decode=int4");
    try (Cluster cluster = LocalCluster.start(options, NodeSpec.parseList("EP,D"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      InferenceClient.Answer answer =
          client.generate(
              InferenceClient.question(
                  "",
                  AskCommand.read(List.of(PICTURE)),
                  "describe the picture.",
                  SamplingParams.newBuilder().setTemperature(0).build()),
              text -> {});
      assertThat(answer.text()).isNotEmpty();
      assertThat(answer.finished().getTimeline().getStagesList())
          .extracting(StageTiming::getPrecision)
          .containsExactly("fp32", "int8", "int4");
      assertThat(TimelineText.of(answer, "")).contains("fp32", "int8", "int4");
      assertThat(
              client.load().getNodesList().stream()
                  .map(NodeStatus::getWeightsList)
                  .flatMap(List::stream)
                  .map(group -> group.getName() + " " + group.getPrecision()))
          .containsExactlyInAnyOrder("vision fp32", "decoder int8", "decoder int4");
      ClusterAssertions.assertNothingInUse(cluster, 2);
    }
  }
}
