package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.stages.RouterDriver.Answer;
import io.epidote.stages.RouterDriver.Run;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A prompt that begins like an earlier one is not computed again, and nobody can tell. */
@Timeout(300)
final class PrefixCachingTest {
  private static StageTiming prefill(Answer answer) {
    return answer.timing(Stage.STAGE_PREFILL);
  }

  /** Asks, checks the answer, and tells how many tokens of the prompt were cached. */
  private static int cached(Cluster cluster, ToyRequest request) {
    Answer answer = Cluster.await(cluster.driver.start(request));
    assertThat(answer.tokens()).as("answer to %s", request).isEqualTo(request.expected(Set.of()));
    StageTiming timing = prefill(answer);
    assertThat(timing.getUnits() + timing.getCachedUnits()).isEqualTo(request.promptTokens());
    return timing.getCachedUnits();
  }

  @ParameterizedTest
  @ValueSource(strings = {"E-P-D", "E-PD", "EPD"})
  void theSameBeginningIsComputedOnce(String topology) {
    try (Cluster cluster = new Cluster(topology, Set.of(), TestNode.Options.defaults())) {
      ToyRequest request = new ToyRequest(1, 70, List.of(), 20);
      assertThat(cached(cluster, request)).isZero();
      assertThat(cached(cluster, request)).isEqualTo(64);
      // Longer and shorter ones: 16 tokens a block, and the last token is always computed.
      assertThat(cached(cluster, new ToyRequest(1, 120, List.of(), 20))).isEqualTo(64);
      assertThat(cached(cluster, new ToyRequest(1, 64, List.of(), 20))).isEqualTo(48);
      assertThat(cached(cluster, new ToyRequest(1, 113, List.of(), 20))).isEqualTo(112);
      assertThat(cached(cluster, new ToyRequest(2, 113, List.of(), 20))).isZero();
      cluster.assertEmpty();
      assertThat(cluster.prefill.status().getKvBlocksCached()).isEqualTo(7 + 7);
    }
  }

  @Test
  void otherPicturesAtTheSameTokensAreNotMistaken() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      ToyRequest request = new ToyRequest(1, 60, List.of(2, 1), 20);
      assertThat(cached(cluster, request)).isZero();
      assertThat(cached(cluster, request.withOtherPictures())).isZero();
      assertThat(cached(cluster, request)).isEqualTo(64);
      assertThat(cached(cluster, request.withOtherPictures())).isEqualTo(64);
      cluster.assertEmpty();
    }
  }

  /** Asks, checks the answer, and tells how many KV blocks were pulled for it. */
  private static int pulled(Cluster cluster, ToyRequest request) {
    Answer answer = Cluster.await(cluster.driver.start(request));
    assertThat(answer.tokens()).as("answer to %s", request).isEqualTo(request.expected(Set.of()));
    StageTiming timing = answer.timing(Stage.STAGE_DECODE);
    int blocks = (int) (timing.getBytesMoved() / ToyDecoder.SHAPE.kvBlockBytes());
    assertThat(blocks * 16 + timing.getCachedUnits())
        .isBetween(request.promptTokens(), request.promptTokens() + 15);
    return blocks;
  }

  @Test
  void decodePullsOnlyWhatItLacks() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      ToyRequest request = new ToyRequest(1, 60, List.of(2, 1), 20);
      assertThat(pulled(cluster, request)).isEqualTo(5);
      // The last block is not full.
      assertThat(pulled(cluster, request)).isEqualTo(1);
      assertThat(pulled(cluster, request.withOtherPictures())).isEqualTo(5);
      assertThat(pulled(cluster, request.withOtherPictures())).isEqualTo(1);
      // What a longer prompt adds.
      assertThat(pulled(cluster, new ToyRequest(2, 50, List.of(), 20))).isEqualTo(4);
      assertThat(pulled(cluster, new ToyRequest(2, 100, List.of(), 20))).isEqualTo(4);
      cluster.assertEmpty();
      assertThat(cluster.decode.status().getKvBlocksCached()).isPositive();
    }
  }

  @Test
  void tenantsDoNotFindEachOthersPrompts() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      ToyRequest request = new ToyRequest(1, 70, List.of(), 20);
      for (ToyRequest tenant :
          List.of(request, request.withSalt("one"), request.withSalt("another"))) {
        Answer first = Cluster.await(cluster.driver.start(tenant));
        assertThat(prefill(first).getCachedUnits()).isZero();
        assertThat(first.timing(Stage.STAGE_DECODE).getCachedUnits()).isZero();
        Answer second = Cluster.await(cluster.driver.start(tenant));
        assertThat(prefill(second).getCachedUnits()).isEqualTo(64);
        assertThat(second.timing(Stage.STAGE_DECODE).getCachedUnits()).isEqualTo(64);
        assertThat(second.tokens()).isEqualTo(request.expected(Set.of()));
      }
      cluster.assertEmpty();
    }
  }

  /** Prefill may have what decode has lost, and the other way round. */
  @Test
  void aDecodeNodeThatLostABlockPullsItAgain() {
    try (TestNode e = new TestNode("E", Set.of(), TestNode.Options.defaults());
        TestNode p = new TestNode("P", Set.of(), TestNode.Options.defaults());
        TestNode small = new TestNode("D", Set.of(), TestNode.Options.defaults().withKvBlocks(16));
        RouterDriver driver = new RouterDriver(e, p, small)) {
      ToyRequest request = new ToyRequest(1, 120, List.of(), 4);
      ToyRequest other = new ToyRequest(2, 200, List.of(), 40);
      for (ToyRequest asked : List.of(request, other, request, other, request)) {
        Answer answer = Cluster.await(driver.start(asked));
        assertThat(answer.tokens()).isEqualTo(asked.expected(Set.of()));
      }
      for (TestNode node : List.of(e, p, small)) {
        node.assertEmpty();
      }
    }
  }

  @Test
  void itCanBeTurnedOff() {
    try (Cluster cluster =
        new Cluster("E-P-D", Set.of(), TestNode.Options.defaults().withoutPrefixes())) {
      ToyRequest request = new ToyRequest(1, 70, List.of(), 20);
      assertThat(cached(cluster, request)).isZero();
      assertThat(cached(cluster, request)).isZero();
      cluster.assertEmpty();
      assertThat(cluster.prefill.status().getKvBlocksCached()).isZero();
    }
  }

  /** Few beginnings, little room: blocks are shared, lost and found again all the time. */
  @ParameterizedTest
  @ValueSource(strings = {"E-P-D", "E-PD", "EPD"})
  void answersStayTheSameUnderPressure(String topology) {
    TestNode.Options tight =
        TestNode.Options.defaults().withKvBlocks(22).withSwapBlocks(40).withMediaBlocks(12);
    try (Cluster cluster = new Cluster(topology, Set.of(), tight)) {
      List<ToyRequest> requests = new ArrayList<>();
      for (int i = 0; i < 120; i++) {
        int kind = i * 7 % 12;
        List<Integer> pictures = kind < 6 ? List.of() : List.of(1 + kind % 3);
        requests.add(new ToyRequest(kind / 2, 30 + i % 50, pictures, 2 + i % 24, kind % 2));
      }
      List<Run> runs = requests.stream().map(cluster.driver::start).toList();
      int cached = 0;
      for (int i = 0; i < runs.size(); i++) {
        Answer answer = Cluster.await(runs.get(i));
        assertThat(answer.tokens())
            .as("answer to %s", requests.get(i))
            .isEqualTo(requests.get(i).expected(Set.of()));
        cached += prefill(answer).getCachedUnits();
      }
      assertThat(cached).isPositive();
      assertThat(cluster.prefill.meters.get("epidote.prefix.cache.hits").counter().count())
          .isEqualTo(cached);
      cluster.assertEmpty();
    }
  }
}
