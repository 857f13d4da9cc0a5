package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.stages.RouterDriver.Answer;
import io.epidote.stages.RouterDriver.Run;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The answer is the same however the stages are spread over nodes. */
@Timeout(300)
final class AnswersTest {
  /** Two of 97 tokens end an answer, so that both ends occur. */
  private static final Set<Integer> EOS = Set.of(3, 5);

  @ParameterizedTest
  @ValueSource(strings = {"E-P-D", "EP-D", "E-PD", "EPD"})
  void everyTopologyGivesTheAnswerComputedWithoutNodes(String topology) {
    try (Cluster cluster = new Cluster(topology, EOS, TestNode.Options.defaults())) {
      List<ToyRequest> requests = new ArrayList<>();
      for (int seed = 0; seed < 60; seed++) {
        requests.add(ToyRequest.random(seed));
      }
      List<Run> together = requests.stream().map(cluster.driver::start).toList();
      for (int i = 0; i < requests.size(); i++) {
        check(requests.get(i), Cluster.await(together.get(i)));
      }
      for (ToyRequest request : requests.subList(0, 10)) {
        check(request, Cluster.await(cluster.driver.start(request)));
      }
      cluster.assertEmpty();
    }
  }

  private static void check(ToyRequest request, Answer answer) {
    List<Integer> expected = request.expected(EOS);
    assertThat(answer.tokens()).as("answer to %s", request).isEqualTo(expected);
    assertThat(answer.reason())
        .isEqualTo(
            EOS.contains(expected.getLast())
                ? FinishReason.FINISH_REASON_STOP
                : FinishReason.FINISH_REASON_LENGTH);
  }

  @Test
  void stagesBatchAcrossRequestsAndAccountForTheirWork() {
    try (TestNode e = new TestNode("E", Set.of(), TestNode.Options.defaults());
        TestNode p = new TestNode("P", Set.of(), TestNode.Options.defaults());
        TestNode d = new TestNode("D", Set.of(), TestNode.Options.defaults());
        RouterDriver driver = new RouterDriver(e, p, d)) {
      // A batch has a price of its own, or there would be nothing to save.
      e.encoder.beforeBatch = () -> LockSupport.parkNanos(5_000_000);
      List<Run> runs = new ArrayList<>();
      for (int i = 0; i < 16; i++) {
        runs.add(driver.start(new ToyRequest(i, 10, List.of(3), 200)));
      }
      for (Run run : runs) {
        Answer answer = run.answer.orTimeout(120, TimeUnit.SECONDS).join();
        assertThat(answer.timings())
            .extracting(StageTiming::getStage)
            .containsExactlyInAnyOrder(Stage.STAGE_ENCODE, Stage.STAGE_PREFILL, Stage.STAGE_DECODE);
        for (StageTiming timing : answer.timings()) {
          switch (timing.getStage()) {
            case STAGE_ENCODE -> assertThat(timing.getUnits()).isEqualTo(3);
            case STAGE_PREFILL -> {
              assertThat(timing.getUnits()).isEqualTo(22);
              assertThat(timing.getBytesMoved()).isEqualTo(3L * e.encoder.tileBytes());
            }
            default -> {
              assertThat(timing.getUnits()).isEqualTo(199);
              assertThat(timing.getBytesMoved()).isEqualTo(2L * d.decoder.shape().kvBlockBytes());
            }
          }
          assertThat(timing.getComputeMs()).isPositive();
        }
      }
      assertThat(e.encoder.batchSizes).anyMatch(size -> size > 3);
      assertThat(d.decoder.batchSizes).anyMatch(size -> size > 1);
      assertThat(e.status().getWeightsList())
          .singleElement()
          .matches(w -> w.getName().equals("vision"));
      assertThat(d.status().getWeightsList())
          .singleElement()
          .matches(w -> w.getName().equals("decoder"));
      for (TestNode node : List.of(e, p, d)) {
        node.assertEmpty();
      }
    }
  }

  @Test
  void anAggregatedNodeMovesNoBytes() {
    try (TestNode node = new TestNode("EPD", Set.of(), TestNode.Options.defaults());
        RouterDriver driver = new RouterDriver(node, node, node)) {
      ToyRequest request = new ToyRequest(1, 20, List.of(2, 1), 8);
      Answer answer = driver.start(request).answer.orTimeout(120, TimeUnit.SECONDS).join();
      assertThat(answer.tokens()).isEqualTo(request.expected(Set.of()));
      assertThat(answer.timings()).hasSize(3).allMatch(timing -> timing.getBytesMoved() == 0);
      node.assertEmpty();
    }
  }
}
