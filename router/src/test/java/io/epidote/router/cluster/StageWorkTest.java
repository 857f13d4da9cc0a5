package io.epidote.router.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.Cost;
import io.epidote.proto.v1.DecodeLoad;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import java.util.List;
import org.junit.jupiter.api.Test;

class StageWorkTest {
  private static Member decode(String id, int answers, int awaiting) {
    NodeStatus status =
        NodeStatus.newBuilder()
            .setNodeId(id)
            .addStages(Stage.STAGE_DECODE)
            .setKvBlocksTotal(1000)
            .setAwaiting(awaiting)
            .setDecode(
                DecodeLoad.newBuilder()
                    .setAnswers(answers)
                    .setStep(Cost.newBuilder().setFixedMs(10).setUnitMs(3)))
            .build();
    Member member = new Member(NodeHello.newBuilder().setStatus(status).build(), null);
    member.report(NodeLoad.newBuilder().setStatus(status).build());
    member.answers().add(100);
    return member;
  }

  /** A backlog of pictures is no reason to keep decode nodes. */
  @Test
  void answersThatWaitForTheirPromptsSlowNobodyDown() {
    StageWork work =
        StageWork.of(
            List.of(decode("one", 40, 37), decode("two", 5, 0)),
            new Demand.Rates(1, 1, 10, 700, 50, 60));
    assertThat(work.answers()).isEqualTo(8);
    assertThat(work.decodeStepMs()).isEqualTo(10);
    assertThat(work.decodeAnswerMs()).isEqualTo(3);
  }
}
