package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import io.grpc.ManagedChannel;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What an answer has had so far counts the same wherever it goes on. */
@Timeout(200)
class PenaltiesTest {
  private static final int REQUESTS = 12;
  private static final int TOKENS = 96;

  /** So many are out, of all answers together, when a node is killed. */
  private static final int TOKENS_BEFORE = 250;

  /** Tokens by choice. */
  private record Answers(Map<Integer, List<Integer>> tokens, int recoveries) {}

  @Test
  void tokensAreTheSameAloneInABatchElsewhereAndAfterADecodeNodeIsKilled() throws Exception {
    List<GenerateRequest> requests = requests();
    List<Map<Integer, List<Integer>>> expected;
    try (Cluster aggregated =
        LocalCluster.start(
            new ClusterOptions().onAnyPort(), NodeSpec.parseList("EPD"), new Progress())) {
      expected = tokens(ask(aggregated, requests, 1, () -> {}));
      assertThat(tokens(ask(aggregated, requests, REQUESTS, () -> {}))).isEqualTo(expected);
      List<Map<Integer, List<Integer>>> unpenalised =
          tokens(
              ask(
                  aggregated,
                  requests.stream().map(PenaltiesTest::unpenalised).toList(),
                  REQUESTS,
                  () -> {}));
      for (int i = 0; i < REQUESTS; i++) {
        assertThat(expected.get(i)).hasSize(Math.max(1, requests.get(i).getN()));
        assertThat(expected.get(i)).as("request %d", i).isNotEqualTo(unpenalised.get(i));
        assertThat(expected.get(i).values())
            .allSatisfy(tokens -> assertThat(tokens).hasSizeGreaterThan(TOKENS / 2));
      }
    }
    try (ProcessCluster apart =
        ProcessCluster.start(
            new ClusterOptions().onAnyPort(), NodeSpec.parseList("EP,D,D"), new Progress())) {
      AtomicInteger out = new AtomicInteger();
      List<Answers> answers =
          ask(
              apart,
              requests,
              REQUESTS,
              () -> {
                if (out.incrementAndGet() == TOKENS_BEFORE) {
                  apart.children().getLast().process().destroyForcibly();
                }
              });
      assertThat(tokens(answers)).isEqualTo(expected);
      assertThat(answers).anyMatch(each -> each.recoveries() > 0);
      ClusterAssertions.assertNothingInUse(apart, 2);
    }
  }

  private static List<Map<Integer, List<Integer>>> tokens(List<Answers> answers) {
    return answers.stream().map(Answers::tokens).toList();
  }

  private static List<GenerateRequest> requests() {
    List<Task> tasks = SceneSet.heldOut(41).limit(REQUESTS).toList();
    List<GenerateRequest> requests = new ArrayList<>();
    for (int i = 0; i < REQUESTS; i++) {
      SamplingParams.Builder sampling = SamplingParams.newBuilder().setMaxTokens(TOKENS);
      switch (i % 4) {
        case 0 ->
            sampling
                .setTemperature(0)
                .setRepetitionPenalty(1.8f)
                .setFrequencyPenalty(0.8f)
                .setIgnoreEos(true);
        case 1 ->
            sampling
                .setTemperature(1.2f)
                .setSeed(i)
                .setFrequencyPenalty(0.6f)
                .setPresencePenalty(0.4f)
                .setMinP(0.02f)
                .putLogitBias(i + 20, 5)
                .setIgnoreEos(true);
        case 2 -> sampling.setTemperature(0).setMinTokens(TOKENS / 2 + 1).setFrequencyPenalty(0.3f);
        default ->
            sampling
                .setTemperature(0.9f)
                .setTopP(0.9f)
                .setSeed(i)
                .setFrequencyPenalty(-0.2f)
                .setPresencePenalty(1.5f)
                .setRepetitionPenalty(0.9f)
                .setMinTokens(TOKENS);
      }
      requests.add(
          InferenceClient.question(
                  "",
                  tasks.get(i).pictures().stream().map(EvalCommand::png).toList(),
                  tasks.get(i).question(),
                  sampling.build())
              .toBuilder()
              .setN(i % 4 == 3 ? 2 : 0)
              .build());
    }
    return requests;
  }

  private static GenerateRequest unpenalised(GenerateRequest request) {
    GenerateRequest.Builder plain = request.toBuilder();
    plain
        .getSamplingBuilder()
        .clearFrequencyPenalty()
        .clearPresencePenalty()
        .clearRepetitionPenalty()
        .clearLogitBias()
        .clearMinP()
        .clearMinTokens();
    return plain.build();
  }

  private static List<Answers> ask(
      Cluster cluster, List<GenerateRequest> requests, int clients, Runnable onTokens)
      throws Exception {
    ManagedChannel channel = ConnectionOptions.plain().open(cluster.grpcAddress());
    try (ExecutorService pool = Executors.newFixedThreadPool(clients)) {
      List<Future<Answers>> futures = new ArrayList<>();
      for (GenerateRequest request : requests) {
        futures.add(pool.submit(() -> ask(channel, request, onTokens)));
      }
      List<Answers> answers = new ArrayList<>();
      for (Future<Answers> future : futures) {
        answers.add(future.get());
      }
      return answers;
    } finally {
      channel.shutdownNow();
    }
  }

  private static Answers ask(ManagedChannel channel, GenerateRequest request, Runnable onTokens) {
    Map<Integer, List<Integer>> tokens = new TreeMap<>();
    int recoveries = 0;
    Iterator<GenerateResponse> events =
        InferenceGrpc.newBlockingStub(channel)
            .withDeadlineAfter(100, TimeUnit.SECONDS)
            .generate(request);
    while (events.hasNext()) {
      GenerateResponse event = events.next();
      event
          .getChunk()
          .getTokensList()
          .forEach(token -> {
            tokens
                .computeIfAbsent(event.getChunk().getChoice(), choice -> new ArrayList<>())
                .add(token.getTokenId());
            onTokens.run();
          });
      recoveries += event.getFinished().getTimeline().getRecoveries();
    }
    return new Answers(tokens, recoveries);
  }
}
