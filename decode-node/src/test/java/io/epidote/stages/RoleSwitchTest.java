package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.NodeConfig;
import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.proto.stage.v1.NodeControlGrpc;
import io.epidote.proto.stage.v1.RegisterRequest;
import io.epidote.proto.stage.v1.RegisterResponse;
import io.epidote.proto.stage.v1.RegistryServiceGrpc;
import io.epidote.proto.stage.v1.SwitchRoleRequest;
import io.epidote.proto.stage.v1.SwitchRoleResponse;
import io.epidote.proto.stage.v1.Welcome;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.RolePhase;
import io.epidote.proto.v1.Stage;
import io.epidote.stages.RouterDriver.Moment;
import io.epidote.stages.RouterDriver.Run;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Nodes that change their stages, stop or are stuck while requests run. */
@Timeout(120)
final class RoleSwitchTest {
  private static final ToyRequest REQUEST = new ToyRequest(42, 30, List.of(3, 2), 40);
  private static final ToyRequest OTHER = new ToyRequest(43, 20, List.of(2), 30);

  private static SwitchRoleResponse switchTo(
      TestNode node, long generation, int drainMs, Stage... stages) {
    ManagedChannel channel =
        GrpcTransport.channel(node.runtime.address(), ChannelKind.CONTROL).build();
    try {
      return NodeControlGrpc.newBlockingStub(channel)
          .withDeadlineAfter(60, TimeUnit.SECONDS)
          .switchRole(
              SwitchRoleRequest.newBuilder()
                  .addAllStages(List.of(stages))
                  .setExpectedGeneration(generation)
                  .setDrainMs(drainMs)
                  .build());
    } finally {
      channel.shutdownNow();
    }
  }

  /** A request that has three tokens, and no more until then. */
  private static Run startHeld(Cluster cluster, CountDownLatch goOn) {
    CountDownLatch running = new CountDownLatch(3);
    cluster.decode.decoder.beforeStep =
        chunks -> {
          if (running.getCount() == 0) {
            awaitQuietly(goOn);
          }
        };
    Run run =
        cluster.driver.start(
            REQUEST,
            (moment, current) -> {
              if (moment == Moment.TOKEN) {
                running.countDown();
              }
            });
    awaitQuietly(running);
    return run;
  }

  private static void assertAnswers(Cluster cluster) {
    assertThat(Cluster.await(cluster.driver.start(OTHER)).tokens())
        .isEqualTo(OTHER.expected(Set.of()));
    cluster.assertEmpty();
  }

  private static void assertUnavailable(Run run) {
    assertThat(Cluster.error(run)).isInstanceOf(EpidoteException.Unavailable.class);
  }

  private static void awaitQuietly(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @Test
  void aStageThatIsGoneSendsItsCallersElsewhereAndComesBack() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      assertAnswers(cluster);
      SwitchRoleResponse done = switchTo(cluster.decode, 0, 1000, Stage.STAGE_ENCODE);
      assertThat(done.getRoleGeneration()).isEqualTo(1);
      assertThat(done.getPhasesList())
          .extracting(RolePhase::getName)
          .contains("hand_over", "load", "drain", "unload", "admit");
      Run run = cluster.driver.start(REQUEST);
      EpidoteException error = Cluster.error(run);
      assertThat(error)
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("does not have the decode stage");
      assertThat(switchTo(cluster.decode, 1, 1000, Stage.STAGE_DECODE).getRoleGeneration())
          .isEqualTo(2);
      assertAnswers(cluster);
    }
  }

  @Test
  void whatRunsMayEndAndWhatIsNewIsRefused() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      CountDownLatch goOn = new CountDownLatch(1);
      Run run = startHeld(cluster, goOn);
      CompletableFuture<SwitchRoleResponse> switched =
          CompletableFuture.supplyAsync(
              () -> switchTo(cluster.decode, 0, 30_000, Stage.STAGE_PREFILL));
      await().until(() -> refuses(cluster));
      goOn.countDown();
      assertThat(Cluster.await(run).tokens()).isEqualTo(REQUEST.expected(Set.of()));
      assertThat(switched.join().getRoleGeneration()).isEqualTo(1);
      cluster.assertEmpty();
    }
  }

  private static boolean refuses(Cluster cluster) {
    Run other = cluster.driver.start(OTHER);
    try {
      other.answer.get(100, TimeUnit.MILLISECONDS);
      return false;
    } catch (Exception e) {
      other.cancel();
      return e.getCause() instanceof StatusRuntimeException status
          && status.getStatus().getCode() == Status.Code.UNAVAILABLE;
    }
  }

  @Test
  void whatTakesTooLongIsEndedAndNothingStays() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      for (int round = 0; round < Moment.values().length; round++) {
        CountDownLatch running = new CountDownLatch(1);
        Moment at = Moment.values()[round];
        Run run =
            cluster.driver.start(
                REQUEST,
                (moment, current) -> {
                  if (moment == at) {
                    running.countDown();
                  }
                });
        awaitQuietly(running);
        switchTo(cluster.decode, 2 * round, 0, Stage.STAGE_ENCODE);
        switchTo(cluster.decode, 2 * round + 1, 0, Stage.STAGE_DECODE);
        // Whoever was quick has its answer; all others know that they have to go elsewhere.
        Throwable error = run.answer.handle((answer, thrown) -> thrown).join();
        if (error != null) {
          assertUnavailable(run);
        } else {
          assertThat(Cluster.await(run).tokens()).isEqualTo(REQUEST.expected(Set.of()));
        }
        cluster.assertEmpty();
      }
      assertAnswers(cluster);
    }
  }

  @Test
  void aRoleThatCannotBeLoadedLeavesTheOldOneWhetherItWasUnloadedOrNot() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      TestNode node = cluster.decode;
      node.beforeLoad =
          () -> {
            throw new EpidoteException.BadCheckpoint("no such weights");
          };
      assertFails(node, Status.Code.FAILED_PRECONDITION, "no such weights");
      assertAnswers(cluster);
      node.beforeLoad =
          () -> {
            throw new OutOfMemoryError("no room for weights");
          };
      assertFails(node, Status.Code.RESOURCE_EXHAUSTED, "no room for weights");
      assertAnswers(cluster);
      // Memory does not hold both: the old role is gone when the new one fails.
      node.roleBytes = Long.MAX_VALUE / 2;
      int[] loads = new int[1];
      node.beforeLoad =
          () -> {
            if (loads[0]++ == 0) {
              throw new EpidoteException.BadCheckpoint("no such weights");
            }
          };
      assertFails(node, Status.Code.FAILED_PRECONDITION, "no such weights");
      assertThat(loads[0]).isEqualTo(2);
      assertAnswers(cluster);
      SwitchRoleResponse done = switchTo(node, 0, 100, Stage.STAGE_PREFILL, Stage.STAGE_DECODE);
      assertThat(done.getPhasesList())
          .extracting(RolePhase::getName)
          .containsExactly("hand_over", "drain", "unload", "load", "admit");
      assertAnswers(cluster);
    }
  }

  @Test
  void stagesThatComeToOthersLeaveWhatRunsAlone() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      TestNode node = cluster.decode;
      CountDownLatch goOn = new CountDownLatch(1);
      Run run = startHeld(cluster, goOn);
      node.beforeLoad =
          () -> {
            throw new EpidoteException.BadCheckpoint("no such weights");
          };
      assertThatThrownBy(() -> switchTo(node, 0, 0, Stage.STAGE_ENCODE, Stage.STAGE_DECODE))
          .hasMessageContaining("no such weights");
      node.beforeLoad = goOn::countDown;
      SwitchRoleResponse done = switchTo(node, 0, 0, Stage.STAGE_ENCODE, Stage.STAGE_DECODE);
      assertThat(done.getPhasesList())
          .extracting(RolePhase::getName)
          .containsExactly("load", "admit");
      assertThat(Cluster.await(run).tokens()).isEqualTo(REQUEST.expected(Set.of()));
      assertAnswers(cluster);
      // All that is shared goes when stages go.
      switchTo(node, 1, 1000, Stage.STAGE_ENCODE);
      assertThat(node.runtime.status().join().getStagesList()).containsExactly(Stage.STAGE_ENCODE);
      switchTo(node, 2, 1000, Stage.STAGE_ENCODE, Stage.STAGE_DECODE);
      assertAnswers(cluster);
    }
  }

  private static void assertFails(TestNode node, Status.Code code, String message) {
    assertThatThrownBy(() -> switchTo(node, 0, 100, Stage.STAGE_ENCODE))
        .isInstanceOfSatisfying(
            StatusRuntimeException.class,
            error -> assertThat(error.getStatus().getCode()).isEqualTo(code))
        .hasMessageContaining(message);
    NodeStatus status = node.status();
    assertThat(status.getDraining()).isFalse();
    assertThat(status.getRoleGeneration()).isZero();
    assertThat(status.getStagesList()).containsExactly(Stage.STAGE_DECODE);
  }

  /** A router that writes down what nodes report. */
  private static final class Registry extends RegistryServiceGrpc.RegistryServiceImplBase
      implements AutoCloseable {
    final List<NodeStatus> reported = new CopyOnWriteArrayList<>();
    final List<Integer> hellos = new CopyOnWriteArrayList<>();
    final CountDownLatch goodbye = new CountDownLatch(1);
    final Server server;

    Registry() {
      InetSocketAddress address = new InetSocketAddress("127.0.0.1", 0);
      server = GrpcTransport.start(GrpcTransport.server(address).addService(this), address);
    }

    @Override
    public StreamObserver<RegisterRequest> register(StreamObserver<RegisterResponse> responses) {
      return new StreamObserver<>() {
        @Override
        public void onNext(RegisterRequest request) {
          if (request.hasHello()) {
            hellos.add(request.getHello().getStatus().getStagesValue(0));
            responses.onNext(
                RegisterResponse.newBuilder()
                    .setWelcome(Welcome.newBuilder().setReportIntervalMs(20))
                    .build());
          } else {
            reported.add(request.getLoad().getStatus());
          }
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {
          goodbye.countDown();
          responses.onCompleted();
        }
      };
    }

    NodeStatus last() {
      return reported.getLast();
    }

    @Override
    public void close() {
      server.shutdownNow();
    }
  }

  private static TestNode.Options limits(Duration drain, Duration watchdog) {
    NodeConfig.Limits limits = TestNode.LIMITS.with(drain, watchdog);
    return TestNode.Options.defaults().withLimits(limits);
  }

  @Test
  void whoeverStopsSaysSoWhileItsCallsGoOn() throws Exception {
    try (Registry registry = new Registry();
        Cluster others =
            new Cluster("EP-D", Set.of(), limits(Duration.ofSeconds(20), Duration.ZERO))) {
      TestNode node =
          new TestNode(
              "D",
              Set.of(),
              limits(Duration.ofSeconds(20), Duration.ZERO),
              List.of("127.0.0.1:" + registry.server.getPort()));
      await().until(() -> !registry.reported.isEmpty());
      assertThat(registry.last().getDraining()).isFalse();
      CountDownLatch running = new CountDownLatch(2);
      CountDownLatch goOn = new CountDownLatch(1);
      node.decoder.beforeStep =
          chunks -> {
            running.countDown();
            if (running.getCount() == 0) {
              awaitQuietly(goOn);
            }
          };
      RouterDriver driver = new RouterDriver(others.encode, others.prefill, node);
      Run run = driver.start(REQUEST, (moment, current) -> {});
      awaitQuietly(running);
      CompletableFuture<Void> closing = CompletableFuture.runAsync(node::close);
      // The engine thread is in a step, and the report does not wait for it.
      await().until(() -> registry.last().getDraining());
      assertThat(registry.goodbye.getCount()).isOne();
      goOn.countDown();
      assertThat(Cluster.await(run).tokens()).isEqualTo(REQUEST.expected(Set.of()));
      closing.get(30, TimeUnit.SECONDS);
      assertThat(registry.goodbye.await(5, TimeUnit.SECONDS)).isTrue();
      driver.close();
      others.assertEmpty();
    }
  }

  @Test
  void anEngineThreadThatIsStuckIsReportedAndItsCallsEnd() {
    try (Registry registry = new Registry();
        Cluster others = new Cluster("EP-D", Set.of(), TestNode.Options.defaults());
        TestNode node =
            new TestNode(
                "D",
                Set.of(),
                limits(Duration.ofMillis(200), Duration.ofSeconds(1)),
                List.of("127.0.0.1:" + registry.server.getPort()))) {
      await().until(() -> !registry.reported.isEmpty());
      CountDownLatch goOn = new CountDownLatch(1);
      node.decoder.beforeStep = chunks -> awaitQuietly(goOn);
      try (RouterDriver driver = new RouterDriver(others.encode, others.prefill, node)) {
        Run run = driver.start(REQUEST);
        // Reports go on although the thread gives none.
        await().atMost(Duration.ofSeconds(30)).until(() -> registry.last().getDraining());
        assertThat(registry.last().getFault()).contains("engine thread");
        assertThat(node.runtime.fault()).contains("engine thread");
        assertUnavailable(run);
        node.decoder.beforeStep = chunks -> {};
        goOn.countDown();
        await()
            .atMost(Duration.ofSeconds(10))
            .until(() -> !registry.last().getDraining() && registry.last().getFault().isEmpty());
        assertThat(Cluster.await(driver.start(OTHER)).tokens()).isEqualTo(OTHER.expected(Set.of()));
      }
      node.assertEmpty();
      others.assertEmpty();
    }
  }

  @Test
  void routersLearnOfNewStagesByAHello() {
    try (Registry registry = new Registry();
        TestNode node =
            new TestNode(
                "D",
                Set.of(),
                TestNode.Options.defaults(),
                List.of("127.0.0.1:" + registry.server.getPort()))) {
      await().until(() -> !registry.reported.isEmpty());
      switchTo(node, 0, 0, Stage.STAGE_ENCODE);
      assertThat(registry.hellos)
          .containsExactly(Stage.STAGE_DECODE_VALUE, Stage.STAGE_ENCODE_VALUE);
      assertThat(registry.reported.stream().anyMatch(NodeStatus::getDraining)).isTrue();
      await().until(() -> registry.last().getRoleGeneration() == 1);
      assertThat(registry.last().getDraining()).isFalse();
      assertThat(registry.last().getIntegrityChecks()).isPositive();
    }
  }
}
