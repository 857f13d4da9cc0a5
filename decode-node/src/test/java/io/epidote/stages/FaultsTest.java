package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.NodeConfig;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.PullResponse;
import io.epidote.stages.RouterDriver.Moment;
import io.epidote.stages.RouterDriver.Run;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BiConsumer;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Whatever goes wrong, the request learns why, the others go on, and nothing stays allocated. */
@Timeout(300)
final class FaultsTest {
  private static final ToyRequest REQUEST = new ToyRequest(42, 30, List.of(3, 2), 40);
  private static final ToyRequest OTHER = new ToyRequest(43, 20, List.of(2), 30);

  private static NodeConfig.Limits limits(Duration lease, Duration stall, int requests) {
    return new NodeConfig.Limits(
        lease, stall, Duration.ofMinutes(2), Duration.ofMillis(200), 1024, requests, 4096);
  }

  /** Expiry is what the test waits for. */
  private static TestNode.Options shortLease(Duration lease) {
    return TestNode.Options.defaults().withLimits(limits(lease, Duration.ofSeconds(10), 1024));
  }

  /** A pull that makes no progress is what the test waits for. */
  private static TestNode.Options shortStall() {
    return TestNode.Options.defaults()
        .withLimits(limits(Duration.ofSeconds(30), Duration.ofMillis(400), 1024));
  }

  private static void assertStillAnswers(Cluster cluster) {
    assertThat(Cluster.await(cluster.driver.start(OTHER)).tokens())
        .isEqualTo(OTHER.expected(Set.of()));
    cluster.assertEmpty();
  }

  @ParameterizedTest
  @CsvSource({
    "E-P-D,TILE",
    "E-P-D,ENCODED",
    "E-P-D,MEDIA_RECEIVED",
    "E-P-D,FIRST_TOKEN",
    "E-P-D,KV_READY",
    "E-P-D,KV_RECEIVED",
    "E-P-D,TOKEN",
    "EPD,TILE",
    "EPD,ENCODED",
    "EPD,MEDIA_RECEIVED",
    "EPD,FIRST_TOKEN",
    "EPD,KV_READY",
    "EPD,KV_RECEIVED",
    "EPD,TOKEN"
  })
  void aCancelAtAnyMomentFreesEverything(String topology, Moment when) {
    try (Cluster cluster = new Cluster(topology, Set.of(), TestNode.Options.defaults())) {
      for (int i = 0; i < 5; i++) {
        AtomicBoolean reached = new AtomicBoolean();
        Run run =
            cluster.driver.start(
                REQUEST,
                (moment, current) -> {
                  if (moment == when) {
                    reached.set(true);
                    current.cancel();
                  }
                });
        run.answer.handle((answer, error) -> answer).join();
        assertThat(reached).isTrue();
        cluster.assertEmpty();
      }
      assertStillAnswers(cluster);
    }
  }

  @Test
  void cancelsAmongRunningRequestsLeaveTheOthersRight() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      List<ToyRequest> requests = new ArrayList<>();
      List<Run> runs = new ArrayList<>();
      for (int i = 0; i < 40; i++) {
        ToyRequest request = ToyRequest.random(1000 + i);
        requests.add(request);
        Moment when = Moment.values()[i / 2 % Moment.values().length];
        boolean cancels = i % 2 == 1;
        runs.add(
            cluster.driver.start(
                request,
                (moment, run) -> {
                  if (cancels && moment == when) {
                    run.cancel();
                  }
                }));
      }
      for (int i = 0; i < 40; i += 2) {
        assertThat(Cluster.await(runs.get(i)).tokens())
            .isEqualTo(requests.get(i).expected(Set.of()));
      }
      cluster.assertEmpty();
    }
  }

  @Test
  void aCancelInTheMiddleOfABatchOfTilesFreesThem() throws InterruptedException {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      CountDownLatch inBatch = new CountDownLatch(1);
      CountDownLatch goOn = new CountDownLatch(1);
      cluster.encode.encoder.beforeBatch =
          () -> {
            inBatch.countDown();
            awaitQuietly(goOn);
          };
      Run run = cluster.driver.start(REQUEST);
      inBatch.await();
      run.cancel();
      run.answer.handle((answer, error) -> answer).join();
      goOn.countDown();
      assertStillAnswers(cluster);
    }
  }

  @Test
  void aProducerThatIsGoneFailsItsConsumerAtOnce() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      Run run =
          cluster.driver.start(
              REQUEST,
              (moment, current) -> {},
              kv -> {
                cluster.prefill.close();
                return kv;
              });
      assertThat(Cluster.error(run)).isInstanceOf(EpidoteException.Unavailable.class);
      cluster.decode.assertEmpty();
      cluster.encode.assertEmpty();
      assertThat(cluster.prefill.pools).allMatch(pool -> pool.used() == 0);
    }
  }

  @Test
  void aSilentProducerFailsItsConsumerWithinTheStallBound() throws IOException {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), shortStall());
        ServerSocket silent = new ServerSocket(0, 10, InetAddress.getLoopbackAddress())) {
      Run run =
          cluster.driver.start(
              REQUEST,
              (moment, current) -> {},
              kv ->
                  kv.toBuilder()
                      .setHandle(
                          kv.getHandle().toBuilder()
                              .setNodeId("silent")
                              .setAddress("127.0.0.1:" + silent.getLocalPort())
                              .clearBulkPort())
                      .build());
      assertThat(Cluster.error(run))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("silent")
          .hasMessageContaining("400 ms");
      assertStillAnswers(cluster);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"flipped bit", "too long", "too short", "wrong offset", "refused"})
  void aLyingProducerIsFoundOut(String lie) {
    BiConsumer<Handle, StreamObserver<PullResponse>> behaviour =
        (handle, peer) -> {
          byte[] all = new byte[(int) handle.getBytes()];
          switch (lie) {
            case "flipped bit" ->
                peer.onNext(
                    LyingNode.chunk(0, all).toBuilder()
                        .setCrc32C(LyingNode.chunk(0, all).getCrc32C() ^ 1)
                        .build());
            case "too long" -> {
              peer.onNext(LyingNode.chunk(0, all));
              peer.onNext(LyingNode.chunk(all.length, new byte[16]));
            }
            case "too short" -> peer.onNext(LyingNode.chunk(0, new byte[16]));
            case "wrong offset" -> peer.onNext(LyingNode.chunk(16, new byte[16]));
            default -> {
              peer.onError(io.grpc.Status.INTERNAL.withDescription("no").asRuntimeException());
              return;
            }
          }
          peer.onCompleted();
        };
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults());
        LyingNode liar = new LyingNode(behaviour)) {
      Run run = cluster.driver.start(REQUEST, (moment, current) -> {}, replaceHandle(liar));
      assertThat(Cluster.error(run))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("liar")
          .hasMessageContaining(
              switch (lie) {
                case "flipped bit" -> "checksum";
                case "too long" -> "0 fit";
                case "too short" -> "ended early";
                case "wrong offset" -> "offset 16";
                default -> "no";
              });
      assertStillAnswers(cluster);
    }
  }

  private static UnaryOperator<KvReady> replaceHandle(LyingNode liar) {
    return kv -> kv.toBuilder().setHandle(liar.inPlaceOf(kv.getHandle())).build();
  }

  @Test
  void aHandleOfTheWrongSizeIsRefusedBeforeAnythingIsPulled() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      Run run =
          cluster.driver.start(
              REQUEST,
              (moment, current) -> {},
              kv ->
                  kv.toBuilder()
                      .setHandle(
                          kv.getHandle().toBuilder().setBytes(kv.getHandle().getBytes() + 1024))
                      .build());
      assertThat(Cluster.error(run)).isInstanceOf(EpidoteException.InvalidRequest.class);
      assertStillAnswers(cluster);
    }
  }

  @Test
  void aStaleHandleIsNotFound() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      Run run =
          cluster.driver.start(
              REQUEST,
              (moment, current) -> {},
              kv ->
                  kv.toBuilder()
                      .setHandle(kv.getHandle().toBuilder().setEpoch(kv.getHandle().getEpoch() + 1))
                      .build());
      assertThat(Cluster.error(run))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("is not held here");
      assertStillAnswers(cluster);
    }
  }

  @Test
  void aLeaseThatNobodyPullsExpiresAndFreesItsBlocks() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), shortLease(Duration.ofMillis(500)))) {
      Run run =
          cluster.driver.start(
              new ToyRequest(7, 40, List.of(1), 20),
              (moment, current) -> {
                if (moment == Moment.KV_READY) {
                  current.forgetKv();
                }
              });
      assertThat(Cluster.error(run))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("not pulled within 0.5s");
      cluster.assertEmpty();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"E-P-D", "E-PD"})
  void aLeaseIsKeptWhileItsConsumerWaitsForRoom(String topology) {
    ToyRequest first = new ToyRequest(1, 100, List.of(), 100);
    ToyRequest second = new ToyRequest(2, 100, List.of(), 100);
    // Room for one answer at a time, and the first takes several lease periods.
    try (Cluster cluster =
        new Cluster(topology, Set.of(), shortLease(Duration.ofMillis(1500)).withKvBlocks(14))) {
      cluster.decode.decoder.beforeStep = batch -> LockSupport.parkNanos(30_000_000);
      Run firstRun = cluster.driver.start(first);
      Run secondRun = cluster.driver.start(second);
      assertThat(Cluster.await(firstRun).tokens()).isEqualTo(first.expected(Set.of()));
      assertThat(Cluster.await(secondRun).tokens()).isEqualTo(second.expected(Set.of()));
      assertThat(cluster.decode.decoder.batchSizes).containsOnly(1);
      cluster.assertEmpty();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"E-P-D", "EP-D", "E-PD", "EPD"})
  void smallPoolsMakeRequestsWaitButNotFail(String topology) {
    // The largest request has 16 blocks and 12 tiles.
    TestNode.Options small = TestNode.Options.defaults().withKvBlocks(16).withMediaBlocks(12);
    try (Cluster cluster = new Cluster(topology, Set.of(), small)) {
      List<ToyRequest> requests = new ArrayList<>();
      for (int seed = 0; seed < 60; seed++) {
        requests.add(ToyRequest.random(seed));
      }
      List<Run> runs = requests.stream().map(cluster.driver::start).toList();
      for (int i = 0; i < runs.size(); i++) {
        assertThat(Cluster.await(runs.get(i)).tokens())
            .isEqualTo(requests.get(i).expected(Set.of()));
      }
      cluster.assertEmpty();
    }
  }

  @Test
  void whatCanNeverFitIsRefusedWithTheNumbers() {
    try (Cluster cluster =
        new Cluster(
            "E-P-D", Set.of(), TestNode.Options.defaults().withKvBlocks(4).withMediaBlocks(3))) {
      // 4 tiles, 3 blocks.
      assertThat(Cluster.error(cluster.driver.start(new ToyRequest(1, 5, List.of(4), 2))))
          .isInstanceOf(EpidoteException.TooLarge.class)
          .hasMessageContaining("4")
          .hasMessageContaining("3");
      // 5 blocks of prompt, 4 there.
      assertThat(Cluster.error(cluster.driver.start(new ToyRequest(2, 80, List.of(), 2))))
          .isInstanceOf(EpidoteException.TooLarge.class)
          .hasMessageContaining("KV blocks");
      // 1 block of prompt, 7 with the answer.
      assertThat(Cluster.error(cluster.driver.start(new ToyRequest(3, 10, List.of(), 100))))
          .isInstanceOf(EpidoteException.TooLarge.class)
          .hasMessageContaining("max_tokens");
      cluster.assertEmpty();
    }
  }

  @Test
  void aPromptThatFillsTheContextIsInvalid() {
    try (Cluster cluster = new Cluster("EPD", Set.of(), TestNode.Options.defaults())) {
      assertThat(Cluster.error(cluster.driver.start(new ToyRequest(1, 256, List.of(), 2))))
          .isInstanceOf(EpidoteException.InvalidRequest.class)
          .hasMessageContaining("256");
      // The context ends the answer before max_tokens does.
      assertThat(
              Cluster.await(cluster.driver.start(new ToyRequest(1, 250, List.of(), 50))).tokens())
          .hasSize(6);
      cluster.assertEmpty();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"encode", "prefill", "decode"})
  void aFailingStepFailsOnlyItsRequests(String stage) {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      AtomicInteger failures = new AtomicInteger();
      Runnable fail =
          () -> {
            if (failures.getAndIncrement() == 0) {
              throw new IllegalStateException("secret detail");
            }
          };
      switch (stage) {
        case "encode" -> cluster.encode.encoder.beforeBatch = fail;
        case "prefill" -> cluster.prefill.decoder.beforeStep = batch -> fail.run();
        default -> cluster.decode.decoder.beforeStep = batch -> fail.run();
      }
      assertThat(Cluster.error(cluster.driver.start(REQUEST)))
          .isInstanceOf(EpidoteException.Internal.class)
          .hasMessageNotContaining("secret");
      assertThat(failures.get()).isPositive();
      assertStillAnswers(cluster);
    }
  }

  @Test
  void anErrorOfTheModelFailsTheNodesHealth() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      cluster.decode.decoder.beforeStep =
          batch -> {
            throw new LinkageError("no native library");
          };
      assertThat(Cluster.error(cluster.driver.start(REQUEST)))
          .isInstanceOf(EpidoteException.Internal.class);
      await().until(() -> cluster.decode.runtime.fault() != null);
      assertThat(cluster.decode.runtime.fault()).contains("no native library");
      assertThat(cluster.prefill.runtime.fault()).isNull();
    }
  }

  @Test
  void lostBlocksAreDetected() {
    try (TestNode node = new TestNode("EPD", Set.of(), TestNode.Options.defaults());
        RouterDriver driver = new RouterDriver(node, node, node)) {
      node.runtime.context().loop().execute(() -> node.pools.getFirst().tryAllocate(1));
      await().until(() -> node.runtime.fault() != null);
      assertThat(node.runtime.fault()).contains("1 of 256 kv blocks");
      assertThat(node.meters.get("epidote.integrity.faults").gauge().value()).isEqualTo(1);
    }
  }

  @Test
  void aStageThatIsFullSaysSo() {
    try (Cluster cluster =
        new Cluster(
            "E-P-D",
            Set.of(),
            TestNode.Options.defaults()
                .withLimits(limits(Duration.ofSeconds(30), Duration.ofSeconds(10), 1)))) {
      CountDownLatch goOn = new CountDownLatch(1);
      CountDownLatch running = new CountDownLatch(1);
      cluster.prefill.decoder.beforeStep =
          batch -> {
            running.countDown();
            awaitQuietly(goOn);
          };
      Run first = cluster.driver.start(REQUEST);
      awaitQuietly(running);
      Run second = cluster.driver.start(OTHER);
      // The decode node already has the first request.
      assertThat(Cluster.error(second)).isInstanceOf(EpidoteException.Exhausted.class);
      goOn.countDown();
      assertThat(Cluster.await(first).tokens()).isEqualTo(REQUEST.expected(Set.of()));
      cluster.assertEmpty();
    }
  }

  @Test
  void closingANodeEndsItsRequestsAndFreesTheirBlocks() {
    try (Cluster cluster = new Cluster("EPD", Set.of(), TestNode.Options.defaults())) {
      CountDownLatch running = new CountDownLatch(1);
      List<Run> runs = new ArrayList<>();
      for (int i = 0; i < 8; i++) {
        runs.add(
            cluster.driver.start(
                new ToyRequest(i, 20, List.of(2), 230),
                (moment, run) -> {
                  if (moment == Moment.TOKEN) {
                    running.countDown();
                  }
                }));
      }
      cluster.decode.decoder.beforeStep = batch -> LockSupport.parkNanos(5_000_000);
      awaitQuietly(running);
      cluster.decode.close();
      for (Run run : runs) {
        assertThat(Cluster.error(run)).isInstanceOf(EpidoteException.Unavailable.class);
      }
      assertThat(cluster.decode.pools).allMatch(pool -> pool.used() == 0);
    }
  }

  private static void awaitQuietly(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
