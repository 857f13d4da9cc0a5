package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.scenes.SceneSet;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Many clients at once. */
@ExtendWith(FourProcesses.class)
class LoadTest {
  @Test
  void aThousandRequestsFromThirtyTwoClientsAllSucceedAndLeaveNothingBehind(Cluster cluster)
      throws Exception {
    List<GenerateRequest> requests =
        SceneSet.heldOut(5)
            .limit(1000)
            .map(task ->
                InferenceClient.question(
                    "",
                    task.pictures().stream().map(EvalCommand::png).toList(),
                    task.question(),
                    SamplingParams.newBuilder().setTemperature(0).build()))
            .toList();
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService pool = Executors.newFixedThreadPool(32)) {
      List<Future<InferenceClient.Answer>> answers = new ArrayList<>();
      for (GenerateRequest request : requests) {
        answers.add(pool.submit(() -> client.generate(request, text -> {})));
      }
      for (Future<InferenceClient.Answer> answer : answers) {
        assertThat(answer.get().finished().getReason()).isEqualTo(FinishReason.FINISH_REASON_STOP);
      }
    }
    ClusterAssertions.assertNothingInUse(cluster, FourProcesses.NODES.size());
  }
}
