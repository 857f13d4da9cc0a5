package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.ToIntFunction;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Greedy answers do not depend on where or beside whom a request runs. */
@ExtendWith(FourProcesses.class)
class EqualityTest {
  private static final int REQUESTS = 200;

  private record Answer(List<Integer> tokens, String text) {}

  @Test
  void tokensAreTheSameFromFourProcessesAndOneNodeAloneAndInABatch(Cluster fourProcesses)
      throws Exception {
    List<GenerateRequest> requests = requests();
    List<Answer> expected = ask(fourProcesses, requests, 1);
    assertThat(expected).allSatisfy(answer -> assertThat(answer.tokens()).isNotEmpty());
    // Answers that were all alike would be equal for no good reason.
    assertThat(expected.stream().map(Answer::text).collect(Collectors.toSet()))
        .hasSizeGreaterThan(20);

    assertThat(ask(fourProcesses, requests, 16)).isEqualTo(expected);
    try (Cluster aggregated =
        LocalCluster.start(
            new ClusterOptions().onAnyPort(), NodeSpec.parseList("EPD"), new Progress())) {
      assertThat(ask(aggregated, requests, 1)).isEqualTo(expected);
      assertThat(ask(aggregated, requests, 16)).isEqualTo(expected);
      ClusterAssertions.assertNothingInUse(aggregated, 1);
    }
    try (Cluster two =
        LocalCluster.start(
            new ClusterOptions().onAnyPort(), NodeSpec.parseList("EP,PD,D"), new Progress())) {
      assertThat(ask(two, requests, 16)).isEqualTo(expected);
      ClusterAssertions.assertNothingInUse(two, 3);
    }
    ClusterAssertions.assertNothingInUse(fourProcesses, FourProcesses.NODES.size());
  }

  @Test
  void aSeededAnswerIsTheSameEverywhere(Cluster fourProcesses) throws Exception {
    List<GenerateRequest> requests =
        requests().stream()
            .limit(32)
            .map(request ->
                request.toBuilder()
                    .setSampling(
                        SamplingParams.newBuilder()
                            .setTemperature(1.5f)
                            .setTopP(0.98f)
                            .setSeed(request.hashCode())
                            .setMaxTokens(24)
                            .setIgnoreEos(true))
                    .build())
            .toList();
    List<Answer> expected = ask(fourProcesses, requests, 1);
    assertThat(expected).allSatisfy(answer -> assertThat(answer.tokens()).hasSize(24));
    assertThat(ask(fourProcesses, requests, 16)).isEqualTo(expected);
    try (Cluster aggregated =
        LocalCluster.start(
            new ClusterOptions().onAnyPort(), NodeSpec.parseList("EPD"), new Progress())) {
      assertThat(ask(aggregated, requests, 16)).isEqualTo(expected);
    }
  }

  /** One to four pictures each, of one tile and of several, with the question of the first. */
  private static List<GenerateRequest> requests() {
    List<Task> tasks = SceneSet.heldOut(11).limit(REQUESTS).toList();
    ToIntFunction<Integer> pictures = i -> 1 + i % 4;
    List<GenerateRequest> requests = new ArrayList<>();
    for (int i = 0; i < REQUESTS; i++) {
      List<BufferedImage> all = new ArrayList<>();
      for (int j = 0; all.size() < pictures.applyAsInt(i); j++) {
        all.addAll(tasks.get((i + j) % REQUESTS).pictures());
      }
      requests.add(
          InferenceClient.question(
              "",
              all.stream().limit(pictures.applyAsInt(i)).map(EvalCommand::png).toList(),
              tasks.get(i).question(),
              SamplingParams.newBuilder().setTemperature(0).setMaxTokens(48).build()));
    }
    return requests;
  }

  private static List<Answer> ask(Cluster cluster, List<GenerateRequest> requests, int clients)
      throws Exception {
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService pool = Executors.newFixedThreadPool(clients)) {
      List<Future<Answer>> futures = new ArrayList<>();
      for (GenerateRequest request : requests) {
        futures.add(
            pool.submit(() -> {
              InferenceClient.Answer answer = client.generate(request, text -> {});
              return new Answer(answer.tokenIds(), answer.text());
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
