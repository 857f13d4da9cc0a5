package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockPool;
import io.epidote.node.NodeConfig;
import io.epidote.proto.stage.v1.MediaReady;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.stages.RouterDriver.Answer;
import io.epidote.stages.RouterDriver.Delivery;
import io.epidote.stages.RouterDriver.Moment;
import io.epidote.stages.RouterDriver.Run;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Stages begin with what there is; whatever comes when, answers are the same and nothing stays. */
@Timeout(300)
final class OverlapTest {
  /** 20 tiles of 4 tokens, then text: 5 blocks and more can be run before the last tile. */
  private static final ToyRequest LONG = new ToyRequest(42, 30, List.of(10, 10), 40);

  private static final ToyRequest OTHER = new ToyRequest(43, 20, List.of(2), 30);

  private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();

  @AfterEach
  void stop() {
    timer.shutdownNow();
  }

  /** Announcements come late, in any order, some of them twice. */
  private Delivery unruly(long seed) {
    Random random = new Random(seed);
    List<MediaReady> before = new ArrayList<>();
    return (ready, prefill) -> {
      send(ready, prefill, random.nextInt(12));
      if (random.nextInt(3) == 0) {
        send(ready, prefill, random.nextInt(12));
      }
      if (!before.isEmpty() && random.nextInt(3) == 0) {
        send(before.get(random.nextInt(before.size())), prefill, random.nextInt(12));
      }
      before.add(ready);
    };
  }

  private void send(MediaReady ready, Consumer<MediaReady> prefill, int afterMs) {
    timer.schedule(() -> prefill.accept(ready), afterMs, TimeUnit.MILLISECONDS);
  }

  @ParameterizedTest
  @CsvSource({
    "E-P-D, 256, 64",
    "E-P-D, 28, 14",
    "EP-D, 256, 64",
    "E-PD, 256, 64",
    "E-PD, 28, 14",
    "EPD, 28, 14"
  })
  void answersDoNotDependOnWhenTilesCome(String topology, int kvBlocks, int mediaBlocks) {
    TestNode.Options options =
        TestNode.Options.defaults().withKvBlocks(kvBlocks).withMediaBlocks(mediaBlocks);
    try (Cluster cluster = new Cluster(topology, Set.of(), options)) {
      List<ToyRequest> requests = new ArrayList<>();
      List<Run> runs = new ArrayList<>();
      for (int seed = 0; seed < 80; seed++) {
        // Some begin alike: what is cached is found while tiles come.
        ToyRequest random = ToyRequest.random(seed % 50);
        requests.add(random);
        runs.add(cluster.driver.start(random, (moment, run) -> {}, unruly(seed)));
      }
      for (int i = 0; i < runs.size(); i++) {
        assertThat(Cluster.await(runs.get(i)).tokens())
            .as("answer to %s", requests.get(i))
            .isEqualTo(requests.get(i).expected(Set.of()));
      }
      cluster.assertEmpty();
    }
  }

  /** Keeps the tiles from {@code span} on until told. */
  private static final class Held implements Delivery {
    private final int span;
    private final ConcurrentLinkedQueue<Runnable> held = new ConcurrentLinkedQueue<>();
    final AtomicInteger count = new AtomicInteger();

    Held(int span) {
      this.span = span;
    }

    @Override
    public void deliver(MediaReady ready, Consumer<MediaReady> prefill) {
      if (ready.getSpan() < span) {
        prefill.accept(ready);
      } else {
        held.add(() -> prefill.accept(ready));
        count.incrementAndGet();
      }
    }

    void letGo() {
      held.forEach(Runnable::run);
    }
  }

  private static void until(org.awaitility.core.ThrowingRunnable assertion) {
    await()
        .pollDelay(Duration.ZERO)
        .pollInterval(Duration.ofMillis(5))
        .atMost(Duration.ofSeconds(60))
        .untilAsserted(assertion);
  }

  private static BlockPool pool(TestNode node, String name) {
    return node.pools.stream().filter(pool -> pool.name().equals(name)).findFirst().orElseThrow();
  }

  private static BiConsumer<Moment, Run> counting(AtomicInteger parts) {
    return (moment, run) -> {
      if (moment == Moment.KV_READY) {
        parts.incrementAndGet();
      }
    };
  }

  private static int kvUsed(TestNode node) {
    return node.status().getKvBlocksUsed();
  }

  @Test
  void prefillAndDecodeWorkWhileTheLastTileIsMissing() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      Held held = new Held(LONG.tiles() - 1);
      AtomicInteger parts = new AtomicInteger();
      Run run = cluster.driver.start(LONG, counting(parts), held);
      // 19 tiles and the token before them are 4 whole blocks. Decode has room for the prompt.
      until(() -> {
        assertThat(parts.get()).isPositive();
        assertThat(kvUsed(cluster.decode)).isEqualTo(7);
        assertThat(cluster.prefill.status().getHandles()).isZero();
      });
      // Tiles whose keys and values are there are not kept.
      assertThat(pool(cluster.prefill, "media-in").used()).isLessThanOrEqualTo(4);
      assertThat(pool(cluster.encode, "media").used()).isEqualTo(1);
      // Others are not held up.
      assertThat(Cluster.await(cluster.driver.start(OTHER)).tokens())
          .isEqualTo(OTHER.expected(Set.of()));
      assertThat(run.answer).isNotDone();
      held.letGo();
      Answer answer = Cluster.await(run);
      assertThat(answer.tokens()).isEqualTo(LONG.expected(Set.of()));
      assertThat(parts.get()).isGreaterThan(1);
      StageTiming prefill = answer.timing(Stage.STAGE_PREFILL);
      assertThat(prefill.getOverlappedComputeMs()).isBetween(1e-9, prefill.getComputeMs());
      assertThat(prefill.getOverlappedTransferMs()).isBetween(1e-9, prefill.getTransferMs());
      StageTiming decode = answer.timing(Stage.STAGE_DECODE);
      assertThat(decode.getOverlappedTransferMs()).isBetween(1e-9, decode.getTransferMs());
      assertThat(decode.getBytesMoved()).isEqualTo(7L * ToyDecoder.SHAPE.kvBlockBytes());
      assertThat(decode.getHandoffMs()).isPositive();
      cluster.assertEmpty();
    }
  }

  @Test
  void overlapCanBeForbidden() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      cluster.driver.forbidOverlap();
      Held held = new Held(LONG.tiles() - 1);
      AtomicInteger parts = new AtomicInteger();
      Run run = cluster.driver.start(LONG, counting(parts), held);
      until(() -> assertThat(held.count).hasValue(1));
      assertThat(Cluster.await(cluster.driver.start(OTHER)).tokens())
          .isEqualTo(OTHER.expected(Set.of()));
      // The first request has no part in it.
      assertThat(kvUsed(cluster.prefill)).isZero();
      parts.set(0);
      held.letGo();
      Answer answer = Cluster.await(run);
      assertThat(answer.tokens()).isEqualTo(LONG.expected(Set.of()));
      assertThat(parts).hasValue(1);
      assertThat(answer.timing(Stage.STAGE_PREFILL).getOverlappedComputeMs()).isZero();
      assertThat(answer.timing(Stage.STAGE_DECODE).getOverlappedTransferMs()).isZero();
      cluster.assertEmpty();
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"cancel", "encode dies", "prefill dies", "decode dies", "step fails"})
  void whatEndsARequestInTheMiddleFreesEverything(String how) {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      Held held = new Held(LONG.tiles() - 1);
      Run run = cluster.driver.start(LONG, (moment, current) -> {}, held);
      until(() -> assertThat(kvUsed(cluster.decode)).isPositive());
      switch (how) {
        case "cancel" -> run.cancel();
        case "encode dies" -> cluster.encode.close();
        case "prefill dies" -> cluster.prefill.close();
        case "decode dies" -> cluster.decode.close();
        default -> {
          cluster.prefill.decoder.beforeStep =
              batch -> {
                throw new IllegalStateException("broken");
              };
          held.letGo();
        }
      }
      assertThat(run.answer.handle((answer, error) -> error != null).join()).isTrue();
      for (TestNode node : cluster.nodes) {
        if (!how.startsWith(
            node == cluster.encode ? "encode" : node == cluster.prefill ? "prefill" : "decode")) {
          node.assertEmpty();
        }
        assertThat(node.pools).allMatch(pool -> pool.used() == 0);
      }
    }
  }

  /**
   * A prompt that has three tiles of four tokens, not enough for a block, and waits for others,
   * does not keep them from the room that another prompt needs for all of its tiles at once.
   */
  @Test
  void tilesThatMakeNoBlockYetGiveWayToWhoeverWaitsForTheirRoom() {
    ToyRequest early = new ToyRequest(9, 30, List.of(4), 6, 1);
    ToyRequest large = new ToyRequest(10, 30, List.of(4, 2), 6, 1);
    TestNode.Options tight = TestNode.Options.defaults().withMediaBlocks(large.tiles());
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), tight)) {
      Held held = new Held(early.tiles() - 1);
      Run first = cluster.driver.start(early, (moment, current) -> {}, held);
      until(() -> {
        assertThat(held.count).hasValue(1);
        assertThat(pool(cluster.encode, "media").used()).isEqualTo(1);
      });
      assertThat(pool(cluster.prefill, "media-in").used()).isEqualTo(3);
      cluster.driver.forbidOverlap();
      assertThat(Cluster.await(cluster.driver.start(large)).tokens())
          .isEqualTo(large.expected(Set.of()));
      assertThat(first.answer).isNotDone();
      held.letGo();
      assertThat(Cluster.await(first).tokens()).isEqualTo(early.expected(Set.of()));
      cluster.assertEmpty();
    }
  }

  /** Prompts that wait for tiles leave room for the largest sequence: 16 blocks of 28. */
  @ParameterizedTest
  @ValueSource(strings = {"E-P-D", "E-PD"})
  void whoHasAllInputIsNeverHeldUpByWhoHasNot(String topology) {
    TestNode.Options tight =
        TestNode.Options.defaults().withKvBlocks(28).withMediaBlocks(20).withSwapBlocks(0);
    ToyRequest early = new ToyRequest(7, 30, List.of(10), 2);
    ToyRequest large = new ToyRequest(8, 200, List.of(), 56);
    try (Cluster cluster = new Cluster(topology, Set.of(), tight)) {
      List<Held> held = new ArrayList<>();
      List<Run> runs = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        Held delivery = new Held(early.tiles() - 1);
        held.add(delivery);
        runs.add(cluster.driver.start(early, (moment, current) -> {}, delivery));
        // The encode pool has room for two at a time.
        if (i < 2) {
          until(() -> assertThat(delivery.count).hasValue(1));
        }
      }
      until(() -> assertThat(kvUsed(cluster.prefill)).isPositive());
      assertThat(kvUsed(cluster.prefill)).isLessThanOrEqualTo(12);
      assertThat(Cluster.await(cluster.driver.start(large)).tokens())
          .isEqualTo(large.expected(Set.of()));
      // The third finds room to encode when the first is done.
      for (Held delivery : held) {
        until(() -> assertThat(delivery.count).hasValue(1));
        delivery.letGo();
      }
      for (Run run : runs) {
        assertThat(Cluster.await(run).tokens()).isEqualTo(early.expected(Set.of()));
      }
      cluster.assertEmpty();
    }
  }

  @Test
  void aPromptWhoseTilesDoNotComeEndsWithAnError() {
    NodeConfig.Limits impatient =
        new NodeConfig.Limits(
            Duration.ofSeconds(30),
            Duration.ofSeconds(10),
            Duration.ofMillis(300),
            Duration.ofMillis(200),
            1024,
            1024,
            4096);
    try (Cluster cluster =
        new Cluster("E-P-D", Set.of(), TestNode.Options.defaults().withLimits(impatient))) {
      Run run = cluster.driver.start(LONG, (moment, current) -> {}, new Held(LONG.tiles() - 1));
      assertThat(Cluster.error(run))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("0.3s");
      cluster.assertEmpty();
    }
  }

  @Test
  void anAnswerWhosePromptIsNotDoneDoesNotQueueAtItsNode() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      Run run =
          cluster.driver.start(
              new ToyRequest(1, 40, List.of(), 4),
              (moment, running) -> {
                if (moment == Moment.KV_READY) {
                  running.forgetKv();
                }
              });
      await().until(() -> cluster.decode.status().getAwaiting() == 1);
      NodeStatus status = cluster.decode.status();
      assertThat(status.getQueued() + status.getRunning()).isZero();
      run.cancel();
      cluster.assertEmpty();
    }
  }
}
