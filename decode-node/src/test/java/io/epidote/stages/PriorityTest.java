package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.stages.RouterDriver.Moment;
import io.epidote.stages.RouterDriver.Run;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Urgent answers pause others in decode, and nobody loses a token by it. */
class PriorityTest {
  private static final long SLOW_STEP_NANOS = 20_000_000;
  private static final int CALM = 5;
  private static final int URGENT = 1;

  private static TestNode.Options options(int batch, int blocks) {
    return TestNode.Options.defaults()
        .withMaxBatch(batch)
        .withKvBlocks(blocks)
        .withSwapBlocks(60)
        .withMediaBlocks(13);
  }

  private static ToyRequest answer(int seed, int priority) {
    return new ToyRequest(500 + seed, 20, List.of(), 100).withPriority(priority);
  }

  @ParameterizedTest
  @ValueSource(strings = {"E-P-D", "EP-D", "E-PD", "EPD"})
  void anUrgentAnswerTakesAPlaceInAFullBatch(String topology) throws Exception {
    whoIsUrgentEndsFirst(topology, options(2, 64));
  }

  @ParameterizedTest
  @ValueSource(strings = {"E-P-D", "EP-D"})
  void anUrgentAnswerTakesBlocksOfAFullPool(String topology) throws Exception {
    // Two answers of 8 blocks fill it, for as much as is known.
    whoIsUrgentEndsFirst(topology, options(16, 17));
  }

  private static void whoIsUrgentEndsFirst(String topology, TestNode.Options options)
      throws InterruptedException {
    try (Cluster cluster = new Cluster(topology, Set.of(), options)) {
      CountDownLatch running = new CountDownLatch(2);
      CountDownLatch urgentRuns = new CountDownLatch(1);
      // The others do not end before the urgent one is there.
      cluster.decode.decoder.beforeStep =
          _ -> {
            if (urgentRuns.getCount() > 0) {
              LockSupport.parkNanos(SLOW_STEP_NANOS);
            }
          };
      ConcurrentLinkedQueue<Integer> ended = new ConcurrentLinkedQueue<>();
      List<ToyRequest> requests = new ArrayList<>();
      List<Run> runs = new ArrayList<>();
      for (int i = 0; i < 2; i++) {
        requests.add(answer(i, CALM));
        runs.add(start(cluster, answer(i, CALM), running, ended));
      }
      assertThat(running.await(20, TimeUnit.SECONDS)).isTrue();
      requests.add(answer(2, CALM));
      runs.add(start(cluster, answer(2, CALM), running, ended));
      requests.add(answer(3, URGENT));
      runs.add(start(cluster, answer(3, URGENT), urgentRuns, ended));
      for (int i = 0; i < runs.size(); i++) {
        assertThat(Cluster.await(runs.get(i)).tokens())
            .isEqualTo(requests.get(i).expected(Set.of()));
      }
      // Three of them had 2 and more tokens before it, of 100: it has passed one at least.
      assertThat(ended.stream().toList().indexOf(URGENT)).isLessThanOrEqualTo(1);
      assertThat(cluster.decode.meters.get("epidote.kv.preemptions").counter().count())
          .isPositive();
      cluster.assertEmpty();
    }
  }

  private static Run start(
      Cluster cluster,
      ToyRequest request,
      CountDownLatch running,
      ConcurrentLinkedQueue<Integer> ended) {
    int[] tokens = {0};
    return cluster.driver.start(
        request,
        (moment, _) -> {
          if (moment == Moment.TOKEN) {
            tokens[0]++;
            if (tokens[0] == 2) {
              running.countDown();
            }
            if (tokens[0] == request.maxTokens()) {
              ended.add(request.priority());
            }
          }
        });
  }

  /** Pools and batches are so small that nearly everybody waits, or is paused. */
  @Property(tries = 24)
  void prioritiesChangeNoAnswerAndLeaveNothing(
      @ForAll("topologies") String topology,
      @ForAll @IntRange(min = 1, max = 1000) int seed,
      @ForAll @IntRange(min = 0, max = 40) int swapBlocks) {
    TestNode.Options tight =
        TestNode.Options.defaults()
            .withKvBlocks(24)
            .withSwapBlocks(swapBlocks)
            .withMediaBlocks(13)
            .withMaxBatch(3);
    Random random = new Random(seed);
    try (Cluster cluster = new Cluster(topology, Set.of(), tight)) {
      List<ToyRequest> requests = new ArrayList<>();
      List<Run> runs = new ArrayList<>();
      for (int i = 0; i < 24; i++) {
        ToyRequest request = ToyRequest.random(seed * 100L + i).withPriority(random.nextInt(3));
        int after = random.nextInt(4) == 0 ? 1 + random.nextInt(5) : Integer.MAX_VALUE;
        int[] tokens = {0};
        Run run =
            cluster.driver.start(
                request,
                (moment, running) -> {
                  if (moment == Moment.TOKEN && ++tokens[0] == after) {
                    running.cancel();
                  }
                });
        if (after == Integer.MAX_VALUE) {
          requests.add(request);
          runs.add(run);
        }
        LockSupport.parkNanos(Duration.ofMillis(random.nextInt(3)).toNanos());
      }
      for (int i = 0; i < runs.size(); i++) {
        assertThat(Cluster.await(runs.get(i)).tokens())
            .as("answer to %s", requests.get(i))
            .isEqualTo(requests.get(i).expected(Set.of()));
      }
      cluster.assertEmpty();
    }
  }

  @Provide
  Arbitrary<String> topologies() {
    return Arbitraries.of("E-P-D", "EP-D", "E-PD", "EPD");
  }
}
