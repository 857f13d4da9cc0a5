package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.proto.v1.Stage;
import io.epidote.stages.RouterDriver.Answer;
import io.epidote.stages.RouterDriver.Run;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Media tokens are made once, found again, and given up for others. */
class MediaCachingTest {
  private static final ToyRequest REQUEST = new ToyRequest(1, 20, List.of(3, 2), 12);

  private static int encoded(Cluster cluster) {
    return cluster.encode.encoder.batchSizes.stream().mapToInt(Integer::intValue).sum();
  }

  @ParameterizedTest
  @ValueSource(strings = {"E-P-D", "EPD"})
  void theSamePicturesAreEncodedOnce(String topology) {
    try (Cluster cluster = new Cluster(topology, Set.of(), TestNode.Options.defaults())) {
      Answer first = Cluster.await(cluster.driver.start(REQUEST));
      assertThat(first.tokens()).isEqualTo(REQUEST.expected(Set.of()));
      assertThat(first.timing(Stage.STAGE_ENCODE).getUnits()).isEqualTo(5);
      assertThat(encoded(cluster)).isEqualTo(5);

      Answer second = Cluster.await(cluster.driver.start(REQUEST));
      assertThat(second.tokens()).isEqualTo(first.tokens());
      assertThat(second.timing(Stage.STAGE_ENCODE).getUnits()).isZero();
      assertThat(second.timing(Stage.STAGE_ENCODE).getCachedUnits()).isEqualTo(5);
      assertThat(encoded(cluster)).isEqualTo(5);

      cluster.assertEmpty();
      assertThat(cluster.encode.status().getMediaBlocksCached()).isEqualTo(5);
      assertThat(cluster.encode.status().getEncode().getCacheHits()).isEqualTo(5);
      assertThat(cluster.encode.status().getEncode().getCacheMisses()).isEqualTo(5);
      assertThat(cluster.encode.meters.get("epidote.media.cache.hits").counter().count())
          .isEqualTo(5);
    }
  }

  @Test
  void withoutTheCacheEveryPictureIsEncoded() {
    try (Cluster cluster =
        new Cluster("E-P-D", Set.of(), TestNode.Options.defaults().withoutTileCache())) {
      for (int i = 1; i <= 2; i++) {
        assertThat(Cluster.await(cluster.driver.start(REQUEST)).tokens())
            .isEqualTo(REQUEST.expected(Set.of()));
        assertThat(encoded(cluster)).isEqualTo(5 * i);
      }
      cluster.assertEmpty();
      assertThat(cluster.encode.status().getMediaBlocksCached()).isZero();
    }
  }

  /**
   * Two requests meet at the same pictures; whether the first stays or goes, the second has them.
   */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void picturesThatAreBeingEncodedAreWaitedFor(boolean cancelTheFirst) throws Exception {
    ToyRequest request = new ToyRequest(1, 20, List.of(3), 12);
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      CountDownLatch inBatch = new CountDownLatch(1);
      CountDownLatch goOn = new CountDownLatch(1);
      cluster.encode.encoder.beforeBatch =
          () -> {
            inBatch.countDown();
            awaitQuietly(goOn);
          };
      Run first = cluster.driver.start(request);
      inBatch.await();
      Run second = cluster.driver.start(request);
      // Both are with the node, whose engine thread stands in the first tile.
      await().until(() -> !cluster.encode.runtime.context().loop().isDrained());
      if (cancelTheFirst) {
        first.cancel();
        first.answer.handle((answer, error) -> answer).join();
      }
      goOn.countDown();
      assertThat(Cluster.await(second).tokens()).isEqualTo(request.expected(Set.of()));
      if (!cancelTheFirst) {
        assertThat(Cluster.await(first).tokens()).isEqualTo(request.expected(Set.of()));
        assertThat(encoded(cluster)).isEqualTo(3);
      }
      cluster.assertEmpty();
    }
  }

  @Test
  void aSmallCacheGivesUpWhatItHasLongest() {
    try (Cluster cluster =
        new Cluster("E-P-D", Set.of(), TestNode.Options.defaults().withMediaBlocks(8))) {
      for (int i = 0; i < 3; i++) {
        List<Run> runs = new ArrayList<>();
        for (int seed = 0; seed < 6; seed++) {
          runs.add(cluster.driver.start(new ToyRequest(seed, 20, List.of(3, 2), 12)));
        }
        for (int seed = 0; seed < 6; seed++) {
          assertThat(Cluster.await(runs.get(seed)).tokens())
              .isEqualTo(new ToyRequest(seed, 20, List.of(3, 2), 12).expected(Set.of()));
        }
      }
      cluster.assertEmpty();
      assertThat(cluster.encode.status().getEncode().getCacheEvictions()).isPositive();
      assertThat(cluster.encode.status().getMediaBlocksCached()).isLessThanOrEqualTo(8);
    }
  }

  /** Whatever is cancelled whenever: nobody else's answer changes and no block is lost. */
  @Test
  void cancelsAmongSharedPicturesHurtNobody() {
    try (Cluster cluster =
        new Cluster("E-P-D", Set.of(), TestNode.Options.defaults().withMediaBlocks(12))) {
      List<Run> runs = new ArrayList<>();
      List<ToyRequest> requests = new ArrayList<>();
      for (int i = 0; i < 60; i++) {
        ToyRequest request = new ToyRequest(i, 12, List.of(2, 3), 6, i % 4);
        requests.add(request);
        int moment = i % 5;
        runs.add(
            cluster.driver.start(
                request,
                (reached, run) -> {
                  if (moment == 1 && reached == RouterDriver.Moment.TILE
                      || moment == 3 && reached == RouterDriver.Moment.MEDIA_RECEIVED) {
                    run.cancel();
                  }
                }));
        if (moment == 2) {
          runs.getLast().cancel();
        }
      }
      for (int i = 0; i < runs.size(); i++) {
        if (i % 5 == 0 || i % 5 == 4) {
          assertThat(Cluster.await(runs.get(i)).tokens())
              .isEqualTo(requests.get(i).expected(Set.of()));
        }
      }
      cluster.assertEmpty();
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
