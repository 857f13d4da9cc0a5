package io.epidote.router;

import static io.epidote.router.TestCluster.generate;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.Cost;
import io.epidote.proto.v1.DecodeLoad;
import io.epidote.proto.v1.EncodeLoad;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.PrefillLoad;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.Timeline;
import io.epidote.router.cluster.Topology;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which nodes a request goes to, by what they report, or by what the router is held to. */
@Timeout(60)
class TopologyTest {
  /** Tells reports apart. */
  private int reports;

  private static Timeline ask(TestCluster cluster, int... pictureTiles) {
    Timeline[] timeline = new Timeline[1];
    cluster
        .inference()
        .generate(generate(pictureTiles).build())
        .forEachRemaining(response -> {
          if (response.getEventCase() == GenerateResponse.EventCase.FINISHED) {
            timeline[0] = response.getFinished().getTimeline();
          }
        });
    return timeline[0];
  }

  private static ScriptedNode aggregated(TestCluster cluster, String id) throws Exception {
    return ScriptedNode.start(id, Stage.STAGE_ENCODE, Stage.STAGE_PREFILL, Stage.STAGE_DECODE)
        .join(cluster.router.grpcPort());
  }

  private void tell(TestCluster cluster, ScriptedNode node, NodeStatus.Builder status) {
    node.report(NodeLoad.newBuilder().setStatus(status.setQueued(++reports)));
    await()
        .until(() ->
            cluster.inference().getLoad(GetLoadRequest.getDefaultInstance()).getNodesList().stream()
                .anyMatch(each ->
                    each.getNodeId().equals(status.getNodeId()) && each.getQueued() == reports));
  }

  @Test
  void aSmallPictureStaysOnOneNodeUntilThatIsBusy() throws Exception {
    try (TestCluster cluster = TestCluster.start();
        ScriptedNode all = aggregated(cluster, "a1")) {
      Timeline idle = ask(cluster, 1);
      assertThat(idle.getTopology()).isEqualTo("EPD");
      assertThat(idle.getPredictedTtftMs()).isPositive();
      assertThat(all.opened).hasValue(3);
      assertThat(ask(cluster).getTopology()).isEqualTo("PD");

      tell(
          cluster,
          all,
          all.status(0).setEncode(EncodeLoad.newBuilder().setTileMs(10).setWaitingTiles(100)));
      assertThat(ask(cluster, 1).getTopology()).isEqualTo("E+PD");
      tell(
          cluster,
          all,
          all.status(0).setPrefill(PrefillLoad.newBuilder().setWaitingTokens(100_000)));
      assertThat(ask(cluster, 1).getTopology()).isEqualTo("E+P+D");
      assertThat(ask(cluster).getTopology()).isEqualTo("P+D");
    }
  }

  @Test
  void slowPullsKeepARequestTogether() throws Exception {
    try (TestCluster cluster = TestCluster.start();
        ScriptedNode all = aggregated(cluster, "a1")) {
      DecodeLoad busy =
          DecodeLoad.newBuilder().setStep(Cost.newBuilder().setUnitMs(1)).setAnswers(20).build();
      tell(cluster, all, all.status(0).setDecode(busy));
      assertThat(ask(cluster).getTopology()).isEqualTo("P+D");
      Cost slow = Cost.newBuilder().setFixedMs(500).build();
      tell(
          cluster,
          cluster.decode,
          cluster.decode.status(0).setDecode(DecodeLoad.newBuilder().setPull(slow)));
      assertThat(ask(cluster).getTopology()).isEqualTo("PD");
    }
  }

  @Test
  void theTopologyIsCounted() throws Exception {
    try (TestCluster cluster = TestCluster.start()) {
      ask(cluster, 1);
      ask(cluster);
      ask(cluster);
      assertThat(cluster.get("/metrics").body())
          .containsPattern("epidote_request_topology_total\\{[^}]*topology=\"E\\+P\\+D\"[^}]*} 1.0")
          .containsPattern("epidote_request_topology_total\\{[^}]*topology=\"P\\+D\"[^}]*} 2.0");
    }
  }

  @ParameterizedTest
  @CsvSource({"EPD, PD", "EP+D, P+D", "E+PD, PD", "E+P+D, P+D"})
  void aRouterCanBeHeldToATopology(String topology, String textTopology) throws Exception {
    try (TestCluster cluster = TestCluster.start(Topology.parse(topology));
        ScriptedNode one = aggregated(cluster, "a1");
        ScriptedNode two = aggregated(cluster, "a2")) {
      for (int i = 0; i < 3; i++) {
        assertThat(ask(cluster, 2, 3).getTopology()).isEqualTo(topology);
        assertThat(ask(cluster).getTopology()).isEqualTo(textTopology);
      }
      await().until(() -> one.stillOpen() + two.stillOpen() == 0);
    }
  }

  @Test
  void whatIsMissingForATopologyIsSaid() throws Exception {
    try (TestCluster cluster = TestCluster.start(Topology.EPD)) {
      assertThatThrownBy(() -> ask(cluster, 1))
          .hasMessageContaining("topology EPD")
          .hasMessageContaining("--topology auto");
      assertThat(cluster.nodes()).allSatisfy(node -> assertThat(node.opened).hasValue(0));
    }
  }
}
