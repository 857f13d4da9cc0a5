package io.epidote.router;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.proto.v1.GetLoadResponse;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Nodes that come, report, go, and are refused. */
class MembershipTest {
  static {
    // A busy machine must not fail what is only slow there.
    org.awaitility.Awaitility.setDefaultTimeout(java.time.Duration.ofSeconds(30));
  }

  private TestCluster cluster;

  @BeforeEach
  void start() throws Exception {
    cluster = TestCluster.start();
  }

  @AfterEach
  void stop() {
    cluster.close();
  }

  private GetLoadResponse load(boolean fresh) {
    return cluster.inference().getLoad(GetLoadRequest.newBuilder().setFresh(fresh).build());
  }

  private ServingStatus health() {
    return HealthGrpc.newBlockingStub(cluster.channel)
        .check(HealthCheckRequest.newBuilder().setService("epidote.v1.Inference").build())
        .getStatus();
  }

  @Test
  void nodesAreListedById() {
    assertThat(load(false).getNodesList())
        .extracting(NodeStatus::getNodeId)
        .containsExactly("d1", "e1", "p1");
    assertThat(cluster.router.ready()).isTrue();
    assertThat(health()).isEqualTo(ServingStatus.SERVING);
  }

  @Test
  void aNodeThatLeavesIsRemovedAtOnceAndComesBack() throws Exception {
    cluster.prefill.leave();
    await().until(() -> load(false).getNodesCount() == 2);
    assertThat(health()).isEqualTo(ServingStatus.NOT_SERVING);
    assertThat(cluster.get("/readyz").statusCode()).isEqualTo(503);
    try (ScriptedNode next = ScriptedNode.start("p1", Stage.STAGE_PREFILL)) {
      next.join(cluster.router.grpcPort());
      assertThat(health()).isEqualTo(ServingStatus.SERVING);
      assertThat(cluster.get("/readyz").statusCode()).isEqualTo(200);
    }
  }

  @Test
  void aNodeThatDiesIsRemoved() {
    cluster.decode.die();
    await().until(() -> load(false).getNodesCount() == 2);
  }

  @Test
  void reportsAreKept() {
    cluster.encode.report(cluster.encode.status(41).build(), 0);
    await().until(() -> load(false).getNodes(1).getQueued() == 41);
  }

  @Test
  void freshLoadAsksEveryNode() {
    assertThat(load(true).getNodesList()).extracting(NodeStatus::getQueued).containsOnly(7);
  }

  @Test
  void freshLoadWaitsForASilentNodeNoLongerThanTwoSeconds() {
    cluster.decode.answersReports = false;
    long start = System.nanoTime();
    assertThat(load(true).getNodesList())
        .extracting(NodeStatus::getQueued)
        .containsExactly(0, 7, 7);
    assertThat(Duration.ofNanos(System.nanoTime() - start))
        .isBetween(Duration.ofMillis(1900), Duration.ofSeconds(10));
  }

  @Test
  void anotherModelIsRefused() throws Exception {
    assertRefused(
        hello -> hello.setModel("other").setFingerprint("beef"),
        Status.Code.FAILED_PRECONDITION,
        "serves other with fingerprint beef",
        "start both with the same model folder");
  }

  @Test
  void anotherVersionIsRefused() throws Exception {
    assertRefused(
        hello -> hello.setVersion("0.0.1"),
        Status.Code.FAILED_PRECONDITION,
        "runs Epidote 0.0.1, this router test",
        "run the same version");
  }

  @Test
  void aNodeWithoutStagesIsRefused() throws Exception {
    assertRefused(
        hello -> hello.getStatusBuilder().clearStages(),
        Status.Code.INVALID_ARGUMENT,
        "names no stage");
  }

  @Test
  void aNodeWithoutAnAddressIsRefused() throws Exception {
    assertRefused(
        hello -> hello.getStatusBuilder().setAddress("nowhere"),
        Status.Code.INVALID_ARGUMENT,
        "\"nowhere\" is not an address");
  }

  @Test
  void anIdThatAnotherNodeHasIsRefused() throws Exception {
    assertRefused(
        hello -> hello.getStatusBuilder().setNodeId("e1"),
        Status.Code.ALREADY_EXISTS,
        "Another node e1 is registered");
    assertThat(load(false).getNodesCount()).isEqualTo(3);
  }

  @Test
  void aNodeThatRegistersAgainTakesItsOwnPlace() throws Exception {
    try (ScriptedNode second = ScriptedNode.start("unused", Stage.STAGE_ENCODE)) {
      second.sayHello(cluster.router.grpcPort(), cluster.encode.hello().build());
      second.welcomed.get(10, TimeUnit.SECONDS);
      assertThat(cluster.encode.registrationEnded.get(10, TimeUnit.SECONDS))
          .hasMessageContaining("ABORTED");
      assertThat(load(false).getNodesCount()).isEqualTo(3);
    }
  }

  @Test
  void aLoadReportBeforeTheHelloIsRefused() throws Exception {
    try (ScriptedNode node = ScriptedNode.start("x", Stage.STAGE_ENCODE)) {
      node.sayHello(cluster.router.grpcPort(), NodeHello.getDefaultInstance());
      assertThat(node.registrationEnded.get(10, TimeUnit.SECONDS)).hasMessageContaining("node_id");
    }
  }

  private void assertRefused(Consumer<NodeHello.Builder> change, Status.Code code, String... words)
      throws Exception {
    try (ScriptedNode node = ScriptedNode.start("new", Stage.STAGE_ENCODE)) {
      NodeHello.Builder hello = node.hello();
      change.accept(hello);
      node.sayHello(cluster.router.grpcPort(), hello.build());
      Throwable refusal = node.registrationEnded.get(10, TimeUnit.SECONDS);
      assertThat(Status.fromThrowable(refusal).getCode()).isEqualTo(code);
      assertThat(refusal.getMessage()).contains(words);
    }
  }

  @Test
  void requestsGoToTheLeastLoadedNode() throws Exception {
    try (ScriptedNode idle = ScriptedNode.start("d2", Stage.STAGE_DECODE)) {
      idle.join(cluster.router.grpcPort());
      cluster.decode.report(cluster.decode.status(50).build(), 0);
      await().until(() -> load(false).getNodes(0).getQueued() == 50);
      for (int i = 0; i < 4; i++) {
        cluster.inference().generate(TestCluster.generate().build()).forEachRemaining(r -> {});
      }
      assertThat(idle.decodes).hasSize(4);
      assertThat(cluster.decode.decodes).isEmpty();
    }
  }

  @Test
  void equalNodesTakeTurns() throws Exception {
    try (ScriptedNode other = ScriptedNode.start("d2", Stage.STAGE_DECODE)) {
      other.join(cluster.router.grpcPort());
      for (int i = 0; i < 8; i++) {
        cluster.inference().generate(TestCluster.generate().build()).forEachRemaining(r -> {});
      }
      assertThat(other.decodes).hasSizeBetween(1, 7);
      assertThat(other.decodes.size() + cluster.decode.decodes.size()).isEqualTo(8);
    }
  }

  @Test
  void anAggregatedNodeServesAlone() throws Exception {
    try (ScriptedNode all =
        ScriptedNode.start("a1", Stage.STAGE_ENCODE, Stage.STAGE_PREFILL, Stage.STAGE_DECODE)) {
      all.join(cluster.router.grpcPort());
      cluster.nodes().forEach(ScriptedNode::leave);
      await().until(() -> load(false).getNodesCount() == 1);
      cluster.inference().generate(TestCluster.generate(1).build()).forEachRemaining(r -> {});
      assertThat(all.opened).hasValue(3);
    }
  }
}
