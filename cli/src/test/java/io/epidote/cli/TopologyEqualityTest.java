package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Greedy answers are the same in every topology, among nodes that have all stages. The nodes that
 * are held to one topology share a process, and move bytes over sockets all the same.
 */
@ExtendWith(FourProcesses.class)
class TopologyEqualityTest {
  private static final int REQUESTS = 32;

  private record Answer(List<Integer> tokens, String topology) {}

  @Test
  void tokensAreTheSameInEveryTopologyThatIsForced(Cluster fourProcesses) throws Exception {
    List<GenerateRequest> requests = requests();
    List<Answer> expected = ask(fourProcesses, requests);
    assertThat(expected).extracting(Answer::topology).containsOnly("E+P+D", "P+D");
    assertThat(expected).allSatisfy(answer -> assertThat(answer.tokens()).isNotEmpty());

    for (String topology : List.of("EPD", "EP+D", "E+PD", "E+P+D", "auto")) {
      try (Cluster two = twoNodes(topology)) {
        List<Answer> answers = ask(two, requests);
        assertThat(answers)
            .as(topology)
            .extracting(Answer::tokens)
            .isEqualTo(expected.stream().map(Answer::tokens).toList());
        if (!topology.equals("auto")) {
          String text = topology.endsWith("+D") ? "P+D" : "PD";
          assertThat(answers).extracting(Answer::topology).containsOnly(topology, text);
        }
        ClusterAssertions.assertNothingInUse(two, 2);
      }
    }
  }

  private static Cluster twoNodes(String topology) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.router.topology = topology;
    List<NodeSpec> nodes = NodeSpec.parseList("EPD,EPD");
    return topology.equals("auto")
        ? ProcessCluster.start(options, nodes, new Progress())
        : LocalCluster.start(options, nodes, new Progress());
  }

  /** Up to three pictures each, or none. */
  private static List<GenerateRequest> requests() {
    List<Task> tasks = SceneSet.heldOut(23).limit(REQUESTS).toList();
    List<GenerateRequest> requests = new ArrayList<>();
    for (int i = 0; i < REQUESTS; i++) {
      requests.add(
          InferenceClient.question(
              "",
              tasks.subList(i, Math.min(i + 3, REQUESTS)).stream()
                  .flatMap(task -> task.pictures().stream())
                  .limit(i % 4)
                  .map(EvalCommand::png)
                  .toList(),
              tasks.get(i).question(),
              SamplingParams.newBuilder().setTemperature(0).setMaxTokens(32).build()));
    }
    return requests;
  }

  private static List<Answer> ask(Cluster cluster, List<GenerateRequest> requests)
      throws Exception {
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService pool = Executors.newFixedThreadPool(8)) {
      List<Future<Answer>> futures = new ArrayList<>();
      for (GenerateRequest request : requests) {
        futures.add(
            pool.submit(() -> {
              InferenceClient.Answer answer = client.generate(request, text -> {});
              return new Answer(answer.tokenIds(), answer.finished().getTimeline().getTopology());
            }));
      }
      List<Answer> answers = new ArrayList<>();
      for (Future<Answer> future : futures) {
        answers.add(future.get());
      }
      return answers;
    }
  }
}
