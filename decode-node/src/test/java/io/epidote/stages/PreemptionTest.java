package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.stages.RouterDriver.Moment;
import io.epidote.stages.RouterDriver.Run;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Answers that outgrow what was foretold wait for each other and come out the same. */
@Timeout(300)
final class PreemptionTest {
  private static final int POOL = 24;
  private static final int WAVES = 10;
  private static final long STEP_NANOS = 2_000_000;

  /** Prompts of 2 blocks, with answers of up to 6 more. */
  private static ToyRequest longAnswer(int seed) {
    return new ToyRequest(100 + seed, 20, List.of(), 100);
  }

  /** Makes the nodes believe that answers are short. */
  private static void learnShortAnswers(Cluster cluster) {
    List<Run> runs = new ArrayList<>();
    for (int i = 0; i < 24; i++) {
      runs.add(cluster.driver.start(new ToyRequest(i, 20, List.of(), 2)));
    }
    runs.forEach(Cluster::await);
  }

  private static double preemptions(TestNode node) {
    var counter = node.meters.find("epidote.kv.preemptions").counter();
    return counter == null ? 0 : counter.count();
  }

  @ParameterizedTest
  @CsvSource({
    "E-P-D, 0",
    "E-P-D, 8",
    "E-P-D, 80",
    "E-PD, 0",
    "E-PD, 8",
    "E-PD, 80",
    "EPD, 8",
    "EPD, 80"
  })
  void theAnswersAreThoseOfALargePool(String topology, int swapBlocks) {
    TestNode.Options tight =
        TestNode.Options.defaults().withKvBlocks(POOL).withSwapBlocks(swapBlocks);
    try (Cluster cluster = new Cluster(topology, Set.of(), tight)) {
      // Answers outgrow the pool together only if they come faster than they end, as with a model.
      cluster.decode.decoder.beforeStep = batch -> LockSupport.parkNanos(STEP_NANOS);
      int waves = swapBlocks == 0 ? 1 : WAVES;
      for (int wave = 0; wave < waves && preemptions(cluster.decode) == 0; wave++) {
        learnShortAnswers(cluster);
        List<Run> runs = new ArrayList<>();
        for (int i = 0; i < 24; i++) {
          runs.add(cluster.driver.start(longAnswer(i)));
        }
        for (int i = 0; i < runs.size(); i++) {
          assertThat(Cluster.await(runs.get(i)).tokens())
              .isEqualTo(longAnswer(i).expected(Set.of()));
        }
      }
      if (swapBlocks == 0) {
        assertThat(preemptions(cluster.decode)).isZero();
      } else {
        assertThat(preemptions(cluster.decode)).isPositive();
        assertThat(cluster.decode.meters.get("epidote.kv.swapped.blocks").counter().count())
            .isPositive();
      }
      cluster.assertEmpty();
    }
  }

  @ParameterizedTest
  @CsvSource({"E-P-D", "EPD"})
  void cancelsAmongPreemptedAnswersFreeEverything(String topology) {
    TestNode.Options tight = TestNode.Options.defaults().withKvBlocks(POOL).withSwapBlocks(60);
    try (Cluster cluster = new Cluster(topology, Set.of(), tight)) {
      cluster.decode.decoder.beforeStep = batch -> LockSupport.parkNanos(STEP_NANOS);
      for (int wave = 0; wave < WAVES && preemptions(cluster.decode) == 0; wave++) {
        learnShortAnswers(cluster);
        List<Run> runs = new ArrayList<>();
        for (int i = 0; i < 30; i++) {
          boolean cancels = i % 3 == 1;
          int after = 1 + i * 3;
          int[] tokens = {0};
          runs.add(
              cluster.driver.start(
                  longAnswer(i),
                  (moment, run) -> {
                    if (cancels && moment == Moment.TOKEN && ++tokens[0] == after) {
                      run.cancel();
                    }
                  }));
        }
        for (int i = 0; i < runs.size(); i++) {
          if (i % 3 != 1) {
            assertThat(Cluster.await(runs.get(i)).tokens())
                .isEqualTo(longAnswer(i).expected(Set.of()));
          }
        }
      }
      assertThat(preemptions(cluster.decode)).isPositive();
      cluster.assertEmpty();
    }
  }

  @Test
  void whoFindsNoPlaceInTheBatchWaitsForOne() {
    try (Cluster cluster =
        new Cluster("EPD", Set.of(), TestNode.Options.defaults().withMaxBatch(3))) {
      List<Run> runs = new ArrayList<>();
      for (int i = 0; i < 12; i++) {
        runs.add(cluster.driver.start(longAnswer(i)));
      }
      for (int i = 0; i < runs.size(); i++) {
        assertThat(Cluster.await(runs.get(i)).tokens()).isEqualTo(longAnswer(i).expected(Set.of()));
      }
      assertThat(preemptions(cluster.decode)).isZero();
      cluster.assertEmpty();
    }
  }
}
