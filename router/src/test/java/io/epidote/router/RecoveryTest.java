package io.epidote.router;

import static io.epidote.router.TestCluster.generate;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.epidote.proto.stage.v1.DecodeStart;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.v1.Cost;
import io.epidote.proto.v1.Finished;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.PrefillLoad;
import io.epidote.proto.v1.Stage;
import io.epidote.router.ScriptedNode.Die;
import io.epidote.router.ScriptedNode.Fail;
import io.epidote.router.ScriptedNode.Stall;
import io.epidote.router.ScriptedNode.Step;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A node that is lost costs time, never an answer. */
class RecoveryTest {
  private final List<ScriptedNode> spares = new ArrayList<>();
  private TestCluster cluster;

  @BeforeEach
  void start() throws Exception {
    cluster =
        TestCluster.start(TestCluster.LIMITS.but().recoveryWait(Duration.ofSeconds(10)).build());
  }

  private void restart(Duration recoveryWait, Duration silence) throws Exception {
    cluster.close();
    cluster =
        TestCluster.start(
            TestCluster.LIMITS.but().recoveryWait(recoveryWait).nodeSilence(silence).build());
  }

  private ScriptedNode spare(String id, Stage stage) throws Exception {
    ScriptedNode spare = ScriptedNode.start(id, stage).join(cluster.router.grpcPort());
    spares.add(spare);
    return spare;
  }

  private void startTwoOfEach() throws Exception {
    spare("e2", Stage.STAGE_ENCODE);
    spare("p2", Stage.STAGE_PREFILL);
    spare("d2", Stage.STAGE_DECODE);
  }

  @AfterEach
  void nothingIsHeldAnywhere() {
    try {
      await()
          .atMost(30, TimeUnit.SECONDS)
          .untilAsserted(() -> {
            assertThat(inFlight()).isZero();
            assertThat(spares).allSatisfy(node -> assertThat(node.stillOpen()).isZero());
            assertThat(cluster.nodes()).allSatisfy(node -> assertThat(node.stillOpen()).isZero());
          });
    } finally {
      spares.forEach(ScriptedNode::close);
      cluster.close();
    }
  }

  private int inFlight() {
    return cluster.inference().getLoad(GetLoadRequest.getDefaultInstance()).getRequestsInFlight();
  }

  private List<GenerateResponse> run(GenerateRequest.Builder request) {
    List<GenerateResponse> all = new ArrayList<>();
    cluster.inference().generate(request.build()).forEachRemaining(all::add);
    return all;
  }

  private ScriptedNode nodeOf(Step step) {
    return switch (step) {
      case TILE -> cluster.encode;
      case FIRST_TOKEN, KV -> cluster.prefill;
      case KV_RECEIVED, TOKENS, MORE_TOKENS, DECODE_DONE, CLOSE -> cluster.decode;
    };
  }

  /** The whole answer, each token once; returns how often a stage was run again. */
  private static int assertWhole(List<GenerateResponse> responses) {
    StringBuilder text = new StringBuilder();
    responses.forEach(response -> text.append(response.getChunk().getText()));
    assertThat(text.toString()).isEqualTo("hello world");
    Finished finished = responses.getLast().getFinished();
    assertThat(finished.getUsage().getCompletionTokens()).isEqualTo("hello world".length() + 1);
    assertThat(finished.getUsage().getPromptTokens()).isEqualTo(14);
    return finished.getTimeline().getRecoveries();
  }

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "CLOSE")
  void anAnswerGoesOnWhenANodeDies(Step step) throws Exception {
    startTwoOfEach();
    ScriptedNode node = nodeOf(step);
    node.script.put(step, new Die());
    int recoveries = 0;
    // Nodes take turns: the second asks the one that the first did not.
    for (int i = 0; i < 2; i++) {
      recoveries += assertWhole(run(generate(2)));
    }
    assertThat(node.registrationEnded).isDone();
    // A node that dies after its last token is needed only if that token was lost with it.
    assertThat(recoveries).isBetween(step == Step.DECODE_DONE ? 0 : 1, 1);
  }

  @ParameterizedTest
  @EnumSource(
      mode = EnumSource.Mode.EXCLUDE,
      names = {"DECODE_DONE", "CLOSE"})
  void anAnswerGoesOnWhenANodeFailsOnIt(Step step) throws Exception {
    startTwoOfEach();
    nodeOf(step).script.put(step, new Fail(Status.INTERNAL.withDescription("broken")));
    int recoveries = 0;
    for (int i = 0; i < 2; i++) {
      recoveries += assertWhole(run(generate(2)));
    }
    assertThat(recoveries).isGreaterThan(0);
  }

  @Test
  void everyTokenOfAnAnswerThatGoesOnHasItsLogprobs() throws Exception {
    startTwoOfEach();
    cluster.decode.script.put(Step.MORE_TOKENS, new Die());
    List<GenerateResponse> responses = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      GenerateRequest.Builder request = generate(2).setRequestId("r" + i);
      request.getSamplingBuilder().setLogprobs(true).setTopLogprobs(2);
      List<GenerateResponse> one = run(request);
      assertWhole(one);
      responses.addAll(one);
    }
    assertThat(responses.stream().flatMap(r -> r.getChunk().getTokensList().stream()))
        .hasSize(2 * ("hello world".length() + 1))
        .allMatch(token -> token.hasLogprob());
    assertThat(cluster.nodes().get(1).prefills)
        .allSatisfy(start -> {
          assertThat(start.getSampling().getLogprobs()).isTrue();
          assertThat(start.getSampling().getTopLogprobs()).isEqualTo(2);
        });
  }

  @Test
  void whatTheClientHasIsPartOfTheNextPrompt() throws Exception {
    cluster.decode.script.put(Step.MORE_TOKENS, new Die());
    CompletableFuture<List<GenerateResponse>> answer =
        CompletableFuture.supplyAsync(() -> run(generate(2).setRequestId("r")));
    await().until(() -> cluster.decode.registrationEnded.isDone());
    // Of the stage nobody is left, until one comes.
    ScriptedNode next = spare("d2", Stage.STAGE_DECODE);
    assertThat(assertWhole(answer.get(20, TimeUnit.SECONDS))).isEqualTo(1);
    assertThat(cluster.prefill.prefills).hasSize(2);
    List<Integer> first = cluster.prefill.prefills.getFirst().getTokenIdsList();
    List<Integer> second = cluster.prefill.prefills.getLast().getTokenIdsList();
    assertThat(second.subList(0, first.size())).isEqualTo(first);
    // Tokens that were on their way when the node died may be lost with it: then they are made
    // again.
    List<Integer> had = second.subList(first.size(), second.size());
    assertThat(had).isNotEmpty().isEqualTo("hel".chars().limit(had.size()).boxed().toList());
    assertThat(cluster.prefill.prefills.getLast().getSampling().getMaxTokens())
        .isEqualTo(cluster.prefill.prefills.getFirst().getSampling().getMaxTokens() - had.size());
    assertThat(cluster.prefill.prefills.getLast().getSampling().getSeed())
        .isEqualTo(cluster.prefill.prefills.getFirst().getSampling().getSeed());
    assertThat(next.decodes).hasSize(1);
  }

  @Test
  void tokensOfTheAnswerAreToldFromThoseOfThePrompt() throws Exception {
    cluster.decode.script.put(Step.MORE_TOKENS, new Die());
    GenerateRequest.Builder request = generate(2).setRequestId("r");
    request
        .getSamplingBuilder()
        .setFrequencyPenalty(0.5f)
        .setRepetitionPenalty(1.1f)
        .setMinTokens(2)
        .addStopTokenIds(250);
    CompletableFuture<List<GenerateResponse>> answer =
        CompletableFuture.supplyAsync(() -> run(request));
    await().until(() -> cluster.decode.registrationEnded.isDone());
    ScriptedNode next = spare("d2", Stage.STAGE_DECODE);
    assertThat(assertWhole(answer.get(20, TimeUnit.SECONDS))).isEqualTo(1);
    PrefillStart first = cluster.prefill.prefills.getFirst();
    PrefillStart second = cluster.prefill.prefills.getLast();
    int had = second.getTokenIdsCount() - first.getTokenIdsCount();
    assertThat(first.getAnswerTokens()).isZero();
    assertThat(second.getAnswerTokens()).isEqualTo(had).isPositive();
    DecodeStart before = cluster.decode.decodes.getFirst();
    DecodeStart after = next.decodes.getFirst();
    // What the prompt has counts once, however often it does.
    List<Integer> prompt = first.getTokenIdsList().stream().distinct().toList();
    assertThat(before.getPromptTokenIdsList()).isEqualTo(prompt);
    assertThat(after.getPromptTokenIdsList()).isEqualTo(prompt);
    assertThat(before.getAnswerTokenIdsList()).isEmpty();
    assertThat(after.getAnswerTokenIdsList()).isEqualTo("hel".chars().limit(had).boxed().toList());
    // How short the rest may be, and with what it may not end until then.
    assertThat(first.getSampling().getMinTokens()).isEqualTo(2);
    assertThat(first.getSampling().getStopTokenIdsList()).containsExactly(250);
    assertThat(after.getSampling().getMinTokens()).isEqualTo(Math.max(0, 2 - had));
    assertThat(after.getSampling().getStopTokenIdsCount()).isEqualTo(had < 2 ? 1 : 0);
    assertThat(after.getSampling().getFrequencyPenalty()).isEqualTo(0.5f);
    assertThat(after.getSampling().getRepetitionPenalty()).isEqualTo(1.1f);
  }

  @Test
  void whoComesWhileAStageHasLostItsOnlyNodeWaits() throws Exception {
    cluster.decode.close();
    await().until(() -> !cluster.router.ready());
    CompletableFuture<List<GenerateResponse>> answer =
        CompletableFuture.supplyAsync(() -> run(generate(2)));
    await().until(() -> inFlight() == 1);
    assertThatThrownBy(() -> answer.get(300, TimeUnit.MILLISECONDS))
        .isInstanceOf(TimeoutException.class);
    spare("d2", Stage.STAGE_DECODE);
    assertThat(assertWhole(answer.get(20, TimeUnit.SECONDS))).isZero();
  }

  @Test
  void aStageThatNobodyEverHadIsNotWaitedFor() throws Exception {
    try (Router empty =
        TestCluster.router(
            TestCluster.LIMITS.but().recoveryWait(Duration.ofSeconds(10)).build(),
            Optional.empty())) {
      ScriptedNode prefill = ScriptedNode.start("p9", Stage.STAGE_PREFILL).join(empty.grpcPort());
      spares.add(prefill);
      ManagedChannel channel =
          ManagedChannelBuilder.forAddress("127.0.0.1", empty.grpcPort()).usePlaintext().build();
      try {
        assertThatThrownBy(() ->
                InferenceGrpc.newBlockingStub(channel)
                    .withDeadlineAfter(5, TimeUnit.SECONDS)
                    .generate(generate().build())
                    .next())
            .hasMessageContaining("UNAVAILABLE")
            .hasMessageContaining("decode");
      } finally {
        channel.shutdownNow();
      }
    }
  }

  @Test
  void nobodyComesBack() throws Exception {
    restart(Duration.ofMillis(300), Duration.ofHours(1));
    cluster.decode.script.put(Step.TOKENS, new Die());
    assertThatThrownBy(() -> run(generate(2)))
        .hasMessageContaining("UNAVAILABLE")
        .hasMessageContaining("No node serves the decode stage")
        .hasMessageContaining("--recovery-wait");
  }

  @Test
  void aRequestThatKillsItsNodesIsGivenUpBeforeItHasKilledThemAll() throws Exception {
    List<ScriptedNode> decodes = new ArrayList<>(List.of(cluster.decode));
    for (int i = 2; i <= 5; i++) {
      decodes.add(spare("d" + i, Stage.STAGE_DECODE));
    }
    decodes.forEach(node -> node.script.put(Step.KV_RECEIVED, new Die()));
    // Prefill has a token for the client each time, which does not count.
    assertThatThrownBy(() -> run(generate(2)))
        .hasMessageContaining("UNAVAILABLE")
        .hasMessageContaining("3 nodes were lost");
    assertThat(decodes).filteredOn(node -> node.registrationEnded.isDone()).hasSize(3);
  }

  @Test
  void aNodeThatSaysNothingIsTakenForLost() throws Exception {
    restart(Duration.ofSeconds(10), Duration.ofSeconds(1));
    ScriptedNode other = spare("d2", Stage.STAGE_DECODE);
    cluster.decode.script.put(Step.MORE_TOKENS, new Stall());
    try (ScheduledExecutorService reports = Executors.newSingleThreadScheduledExecutor()) {
      var unused =
          reports.scheduleAtFixedRate(
              () ->
                  List.of(cluster.encode, cluster.prefill, other)
                      .forEach(node -> node.report(node.status(0).build(), 0)),
              0,
              100,
              TimeUnit.MILLISECONDS);
      int recoveries = 0;
      for (int i = 0; i < 2; i++) {
        recoveries += assertWhole(run(generate(2)));
      }
      assertThat(recoveries).isLessThanOrEqualTo(1);
      assertThat(cluster.decode.registrationEnded)
          .succeedsWithin(Duration.ofSeconds(10))
          .satisfies(error -> assertThat(error).hasMessageContaining("heard nothing"));
      reports.shutdownNow();
    }
  }

  @Test
  void aNodeThatDrainsIsAskedForNothingNew() throws Exception {
    startTwoOfEach();
    cluster.decode.report(cluster.decode.status(0).setDraining(true).build(), 0);
    await()
        .until(() ->
            cluster.inference().getLoad(GetLoadRequest.getDefaultInstance()).getNodesList().stream()
                .anyMatch(node -> node.getDraining()));
    for (int i = 0; i < 4; i++) {
      assertThat(assertWhole(run(generate(2)))).isZero();
    }
    assertThat(cluster.decode.decodes).isEmpty();
  }

  @Test
  void whatIsExpectedToComeLateIsRefusedUnlessLateIsBetterThanNever() throws Exception {
    cluster.close();
    cluster = TestCluster.start(TestCluster.LIMITS.but().refusesLate(true).build());
    // Nothing is measured yet, but no prompt is computed in a microsecond.
    GenerateRequest.Builder tight = generate(2).setSloTtftMs(0.001);
    assertThatThrownBy(() -> run(tight))
        .hasMessageContaining("RESOURCE_EXHAUSTED")
        .hasMessageContaining("The first token is");
    assertThat(cluster.prefill.prefills).isEmpty();
    List<GenerateResponse> late = run(tight.setLateOk(true));
    assertWhole(late);
    assertThat(late.getLast().getFinished().getTimeline().getExpectedLate()).isTrue();
    List<GenerateResponse> easy = run(generate(2).setSloTtftMs(60_000));
    assertThat(easy.getLast().getFinished().getTimeline().getExpectedLate()).isFalse();
    assertWhole(easy);
  }

  /** Costs that were measured wrong once are measured again, or nobody would ever be served. */
  @Test
  void whoWaitsForNobodyIsNotRefusedHoweverLongItIsSaidToTake() throws Exception {
    cluster.close();
    cluster = TestCluster.start(TestCluster.LIMITS.but().refusesLate(true).build());
    GenerateRequest.Builder request = generate(2).setSloTtftMs(60_000);
    reportPrefill(0);
    await()
        .untilAsserted(() -> {
          List<GenerateResponse> answer = run(request);
          assertWhole(answer);
          assertThat(answer.getLast().getFinished().getTimeline().getExpectedLate()).isTrue();
        });
    reportPrefill(100);
    await()
        .untilAsserted(() ->
            assertThatThrownBy(() -> run(request))
                .hasMessageContaining("RESOURCE_EXHAUSTED")
                .hasMessageContaining("The first token is expected in"));
  }

  private void reportPrefill(long waitingTokens) {
    NodeStatus status =
        cluster
            .prefill
            .status(0)
            .setPrefill(
                PrefillLoad.newBuilder()
                    .setStep(Cost.newBuilder().setUnitMs(1e6))
                    .setWaitingTokens(waitingTokens))
            .build();
    cluster.prefill.report(status, 0);
  }
}
