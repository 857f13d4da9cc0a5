package io.epidote.router;

import static io.epidote.router.TestCluster.generate;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import io.epidote.proto.v1.AbortRequest;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Finished;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.GenerateResponse;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.router.ScriptedNode.Die;
import io.epidote.router.ScriptedNode.Fail;
import io.epidote.router.ScriptedNode.Stall;
import io.epidote.router.ScriptedNode.Step;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The request path against nodes that speak the stage protocol over real gRPC. */
class RequestPathTest {
  static {
    // A busy machine must not fail what is only slow there.
    org.awaitility.Awaitility.setDefaultTimeout(java.time.Duration.ofSeconds(30));
  }

  private static @Nullable TestCluster intact;

  private TestCluster cluster;

  @BeforeEach
  void start() throws Exception {
    cluster = intact != null ? intact : TestCluster.start();
    intact = null;
  }

  @AfterEach
  void everyStageCallHasEnded() {
    boolean reusable = false;
    try {
      await()
          .atMost(30, TimeUnit.SECONDS)
          .untilAsserted(() -> {
            assertThat(cluster.nodes()).allSatisfy(node -> assertThat(node.stillOpen()).isZero());
            assertThat(inFlight()).isZero();
          });
      reusable = cluster.intact();
    } finally {
      if (reusable) {
        cluster.nodes().forEach(ScriptedNode::reset);
        intact = cluster;
      } else {
        cluster.close();
      }
    }
  }

  @AfterAll
  static void stop() {
    if (intact != null) {
      intact.close();
      intact = null;
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

  private static String text(List<GenerateResponse> responses) {
    StringBuilder text = new StringBuilder();
    responses.forEach(response -> text.append(response.getChunk().getText()));
    return text.toString();
  }

  private static Finished finished(List<GenerateResponse> responses) {
    return responses.getLast().getFinished();
  }

  @Test
  void textGoesThroughPrefillAndDecodeOnly() {
    List<GenerateResponse> responses = run(generate());
    assertThat(responses.getFirst().getStarted().getPromptTokens()).isEqualTo(10);
    assertThat(text(responses)).isEqualTo("hello world");
    Finished finished = finished(responses);
    assertThat(finished.getReason()).isEqualTo(FinishReason.FINISH_REASON_STOP);
    assertThat(finished.getUsage().getCompletionTokens()).isEqualTo("hello world".length() + 1);
    assertThat(finished.getTimeline().getStagesList())
        .extracting(StageTiming::getStage)
        .containsExactly(Stage.STAGE_PREFILL, Stage.STAGE_DECODE);
    assertThat(finished.getTimeline().getTtftMs())
        .isBetween(finished.getTimeline().getRouterMs(), finished.getTimeline().getTotalMs());
    assertThat(cluster.encode.encodes).isEmpty();
    assertThat(cluster.prefill.heard).containsExactly("prefill start", "prefill half-closed");
    assertThat(cluster.decode.heard)
        .containsExactly("decode start", "decode kv", "decode first token");
  }

  @Test
  void severalAnswersEachHaveTheirChunksAndTheirEnd() {
    List<GenerateResponse> responses = run(generate(2).setN(3));
    assertThat(responses.getFirst().hasStarted()).isTrue();
    for (int choice = 0; choice < 3; choice++) {
      int own = choice;
      List<GenerateResponse> chunks =
          responses.stream()
              .filter(GenerateResponse::hasChunk)
              .filter(response -> response.getChunk().getChoice() == own)
              .toList();
      assertThat(text(chunks)).isEqualTo("hello world");
    }
    assertThat(responses.stream().filter(GenerateResponse::hasFinished))
        .extracting(response -> response.getFinished().getChoice())
        .containsExactlyInAnyOrder(0, 1, 2);
    assertThat(finished(responses).getUsage().getCompletionTokens()).isEqualTo(12);
  }

  @Test
  void nodesHearOfPenaltiesOnlyWhereThereAreAny() {
    GenerateRequest.Builder plain = generate();
    plain.getSamplingBuilder().addStopTokenIds(250);
    run(plain);
    SamplingParams told = cluster.prefill.prefills.getFirst().getSampling();
    assertThat(told.hasRepetitionPenalty()).isFalse();
    assertThat(told.getStopTokenIdsCount()).isZero();
    GenerateRequest.Builder penalised = generate();
    penalised.getSamplingBuilder().setPresencePenalty(1);
    run(penalised);
    assertThat(cluster.decode.decodes)
        .allMatch(start -> start.getPromptTokenIdsCount() + start.getAnswerTokenIdsCount() == 0)
        .last()
        .matches(start -> start.getSampling().getPresencePenalty() == 1);
  }

  @Test
  void picturesAreEncodedTileByTileAndPassedOnBySpan() {
    List<GenerateResponse> responses = run(generate(3, 1));
    assertThat(text(responses)).isEqualTo("hello world");
    assertThat(responses.getFirst().getStarted().getMediaTokens()).isEqualTo(8);
    assertThat(cluster.encode.encodes).hasSize(1);
    assertThat(cluster.encode.encodes.getFirst().getItemsList())
        .satisfies(items -> {
          assertThat(items).hasSize(2);
          assertThat(items.get(0).getTiles()).isEqualTo(3);
          assertThat(items.get(1).getIndex()).isEqualTo(1);
          assertThat(items.get(0).getSha256().size()).isEqualTo(32);
          assertThat(items.get(0).getSha256()).isNotEqualTo(items.get(1).getSha256());
        });
    assertThat(cluster.prefill.heard)
        .containsExactly(
            "prefill start",
            "prefill media 0",
            "prefill media 1",
            "prefill media 2",
            "prefill media 3",
            "prefill half-closed");
    assertThat(finished(responses).getTimeline().getStagesList())
        .extracting(StageTiming::getStage)
        .containsExactly(Stage.STAGE_ENCODE, Stage.STAGE_PREFILL, Stage.STAGE_DECODE);
  }

  @Test
  void decodeIsToldOfKvBlocksWhilePrefillGoesOn() {
    cluster.prefill.announcesEarly = true;
    cluster.prefill.script.put(Step.FIRST_TOKEN, new Stall());
    Client client = call(generate(2).build());
    await()
        .untilAsserted(
            () -> assertThat(cluster.decode.heard).containsExactly("decode start", "decode kv"));
    client.cancel();
    await().untilAsserted(() -> assertThat(cluster.decode.cancelled).hasValue(1));

    cluster.prefill.script.clear();
    cluster.decode.heard.clear();
    assertThat(text(run(generate(2)))).isEqualTo("hello world");
    assertThat(cluster.decode.heard)
        .containsExactly("decode start", "decode kv", "decode kv", "decode first token");
    assertThat(cluster.prefill.prefills)
        .allSatisfy(start -> {
          assertThat(start.getMediaFirst()).isFalse();
          assertThat(start.getKvLast()).isFalse();
        });
  }

  @Test
  void anAnswerThatEndsWithItsFirstTokenCancelsWhatDecodeHasBegun() {
    cluster.prefill.announcesEarly = true;
    cluster.prefill.endsWithFirstToken = true;
    List<GenerateResponse> responses = run(generate(2));
    assertThat(text(responses)).isEqualTo("h");
    assertThat(finished(responses).getReason()).isEqualTo(FinishReason.FINISH_REASON_LENGTH);
    await()
        .untilAsserted(
            () -> assertThat(cluster.decode.cancelled).hasValue(cluster.decode.opened.get()));
    assertThat(cluster.decode.heard).doesNotContain("decode first token");
  }

  private static GenerateRequest.Builder ask(String text) {
    GenerateRequest.Builder request = generate();
    request.getChatBuilder().getMessagesBuilder(0).getContentBuilder(0).setText(text);
    return request;
  }

  @Test
  void aPromptGoesWhereItsBeginningHasBeen() throws Exception {
    try (ScriptedNode p2 =
            ScriptedNode.start("p2", Stage.STAGE_PREFILL).join(cluster.router.grpcPort());
        ScriptedNode d2 =
            ScriptedNode.start("d2", Stage.STAGE_DECODE).join(cluster.router.grpcPort())) {
      run(ask("first of all, and ever again"));
      run(ask("second to none, whatever it is"));
      // Equals took turns.
      assertThat(cluster.prefill.prefills.size() + p2.prefills.size()).isEqualTo(2);
      assertThat(cluster.prefill.prefills).hasSize(1);
      assertThat(cluster.decode.decodes).hasSize(1);
      ScriptedNode firstPrefill = firstAsked(cluster.prefill, p2);
      for (int i = 0; i < 3; i++) {
        cluster.prefill.prefills.clear();
        p2.prefills.clear();
        run(ask("first of all, and ever again: " + i));
        assertThat(firstPrefill.prefills).hasSize(1);
      }
      // Of other tenants' prompts nothing is known: equals take turns again.
      cluster.prefill.prefills.clear();
      p2.prefills.clear();
      for (int i = 0; i < 4; i++) {
        run(ask("first of all, and ever again: " + i).setCacheSalt("tenant " + i));
      }
      assertThat(cluster.prefill.prefills).hasSize(2);
      assertThat(p2.prefills).hasSize(2);
      assertThat(cluster.prefill.prefills.getFirst().getCacheSalt().size()).isEqualTo(32);
      assertThat(cluster.prefill.prefills.getFirst().getCacheSalt())
          .isNotEqualTo(p2.prefills.getFirst().getCacheSalt());
    }
  }

  private static ScriptedNode firstAsked(ScriptedNode one, ScriptedNode other) {
    return one.prefills.getFirst().getTokenIdsList().contains((int) 'f') ? one : other;
  }

  @Test
  void aLongSaltIsRefused() {
    assertRefused(generate().setCacheSalt("x".repeat(257)), "cache_salt", "257", "at most 256");
  }

  @Test
  void stagesOfOneNodeDoNotOverlap() throws Exception {
    cluster.nodes().forEach(ScriptedNode::leave);
    await().until(() -> !cluster.router.ready());
    try (ScriptedNode all =
        ScriptedNode.start("all", Stage.STAGE_ENCODE, Stage.STAGE_PREFILL, Stage.STAGE_DECODE)
            .join(cluster.router.grpcPort())) {
      await().until(() -> cluster.router.ready());
      run(generate(2));
      assertThat(all.prefills)
          .singleElement()
          .satisfies(start -> {
            assertThat(start.getMediaFirst()).isTrue();
            assertThat(start.getKvLast()).isTrue();
          });
    }
  }

  @Test
  void defaultsAreFilledInForTheStages() {
    run(generate());
    SamplingParams prefill = cluster.prefill.prefills.getFirst().getSampling();
    assertThat(prefill.getTemperature()).isEqualTo(1f);
    assertThat(prefill.getTopP()).isEqualTo(1f);
    assertThat(prefill.getTopK()).isZero();
    assertThat(prefill.getMaxTokens()).isEqualTo(TestModel.CONTEXT - 10);
    assertThat(prefill.hasSeed()).isTrue();
    assertThat(cluster.decode.decodes.getFirst().getSampling()).isEqualTo(prefill);
  }

  @Test
  void anAnswerOfOneTokenNeedsNoDecode() {
    List<GenerateResponse> responses =
        run(generate(1).setSampling(SamplingParams.newBuilder().setMaxTokens(1)));
    assertThat(text(responses)).isEqualTo("h");
    assertThat(finished(responses).getReason()).isEqualTo(FinishReason.FINISH_REASON_LENGTH);
    assertThat(cluster.decode.opened).hasValue(0);
  }

  @Test
  void maxTokensEndsTheAnswerByLength() {
    List<GenerateResponse> responses =
        run(generate().setSampling(SamplingParams.newBuilder().setMaxTokens(4)));
    assertThat(text(responses)).isEqualTo("hell");
    assertThat(finished(responses).getReason()).isEqualTo(FinishReason.FINISH_REASON_LENGTH);
    assertThat(finished(responses).getUsage().getCompletionTokens()).isEqualTo(4);
  }

  @Test
  void aStopStringCutsTheTextAndCancelsDecode() {
    cluster.decode.script.put(Step.DECODE_DONE, new Stall());
    List<GenerateResponse> responses =
        run(generate().setSampling(SamplingParams.newBuilder().addStop("o w")));
    assertThat(text(responses)).isEqualTo("hell");
    assertThat(finished(responses).getReason()).isEqualTo(FinishReason.FINISH_REASON_STOP);
    assertThat(finished(responses).getUsage().getCompletionTokens()).isEqualTo(7);
    await().untilAsserted(() -> assertThat(cluster.decode.cancelled).hasValue(1));
  }

  @Test
  void aStopStringInTheFirstTokenCancelsPrefill() {
    List<GenerateResponse> responses =
        run(generate().setSampling(SamplingParams.newBuilder().addStop("h")));
    assertThat(text(responses)).isEmpty();
    assertThat(cluster.decode.decodes).isEmpty();
  }

  @Test
  void aPromptLongerThanTheContextIsRefused() {
    GenerateRequest.Builder request = generate();
    request
        .getChatBuilder()
        .getMessagesBuilder(0)
        .addContentBuilder()
        .setText("x".repeat(TestModel.CONTEXT));
    assertRefused(request, "The prompt has 210 tokens", "holds 200");
  }

  @Test
  void aPictureThatIsNoneIsRefusedByName() {
    GenerateRequest.Builder request = generate(1, 1);
    request
        .getChatBuilder()
        .getMessagesBuilder(0)
        .getContentBuilder(1)
        .getMediaBuilder()
        .setData(com.google.protobuf.ByteString.copyFromUtf8("junk"));
    assertRefused(request, "Media item 2 of 2", "not an image");
  }

  @Test
  void placeholdersThatDoNotMatchThePicturesAreRefused() {
    assertRefused(
        GenerateRequest.newBuilder()
            .setText(io.epidote.proto.v1.TextPrompt.newBuilder().setText("<image> and <image>")),
        "2 placeholders for 0 pictures");
  }

  @Test
  void tooManyMediaItemsAreRefused() {
    assertRefused(generate(1, 1, 1, 1, 1), "5 media items; expected at most 4");
  }

  @Test
  void parametersOutOfRangeAreRefusedByName() {
    assertRefused(sampling(s -> s.setTemperature(-1)), "sampling.temperature", "-1.0", "0 to 2");
    assertRefused(sampling(s -> s.setTemperature(Float.NaN)), "sampling.temperature", "NaN");
    assertRefused(sampling(s -> s.setTopP(0)), "sampling.top_p", "over 0 to 1");
    assertRefused(sampling(s -> s.setTopP(Float.POSITIVE_INFINITY)), "sampling.top_p");
    assertRefused(sampling(s -> s.setTopK(-1)), "sampling.top_k", "4294967295");
    assertRefused(sampling(s -> s.setMaxTokens(0)), "sampling.max_tokens", "from 1");
    assertRefused(sampling(s -> s.setTopLogprobs(3)), "sampling.top_logprobs", "set logprobs");
    assertRefused(
        sampling(s -> s.setLogprobs(true).setTopLogprobs(21)), "sampling.top_logprobs", "0 to 20");
    assertRefused(sampling(s -> s.addStop("")), "sampling.stop[0]", "1 to 256");
    assertRefused(sampling(s -> s.addStop("x".repeat(257))), "sampling.stop[0]", "257");
    assertRefused(
        sampling(s -> s.addAllStop(java.util.Collections.nCopies(17, "x"))), "sampling.stop", "17");
  }

  private static GenerateRequest.Builder sampling(
      java.util.function.UnaryOperator<SamplingParams.Builder> change) {
    return generate().setSampling(change.apply(SamplingParams.newBuilder()));
  }

  private void assertRefused(GenerateRequest.Builder request, String... words) {
    StatusRuntimeException error =
        catchThrowableOfType(StatusRuntimeException.class, () -> run(request));
    assertThat(error.getStatus().getCode()).isEqualTo(Status.Code.INVALID_ARGUMENT);
    assertThat(error.getStatus().getDescription()).contains(words);
  }

  @Test
  void anUnknownModelIsNotFound() {
    assertThatThrownBy(() -> run(generate().setModel("gpt-9")))
        .hasMessageContaining("NOT_FOUND")
        .hasMessageContaining("\"gpt-9\" is not served here")
        .hasMessageContaining(TestModel.NAME);
  }

  @Test
  void whatTheEncodeNodeRefusesIsTheCallersFault() {
    cluster.encode.script.put(
        Step.TILE, new Fail(Status.INVALID_ARGUMENT.withDescription("Media item 0 is truncated.")));
    assertRefused(generate(1), "Media item 0 is truncated.");
    await().untilAsserted(() -> assertThat(cluster.prefill.cancelled).hasValue(1));
  }

  @Test
  void aFullNodeIsTriedAgainLater() {
    cluster.prefill.script.put(
        Step.FIRST_TOKEN, new Fail(Status.RESOURCE_EXHAUSTED.withDescription("queue full")));
    StatusRuntimeException error =
        catchThrowableOfType(StatusRuntimeException.class, () -> run(generate()));
    assertThat(error.getStatus().getCode()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
    assertThat(
            error
                .getTrailers()
                .get(
                    io.grpc.Metadata.Key.of(
                        "retry-after", io.grpc.Metadata.ASCII_STRING_MARSHALLER)))
        .isEqualTo("1");
  }

  @ParameterizedTest
  @EnumSource(
      mode = EnumSource.Mode.EXCLUDE,
      names = {"DECODE_DONE", "CLOSE"})
  void aNodeThatDiesIsTold(Step step) {
    ScriptedNode node = nodeOf(step);
    node.script.put(step, new Die());
    StatusRuntimeException error =
        catchThrowableOfType(StatusRuntimeException.class, () -> run(generate(2)));
    assertThat(error.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE);
    assertThat(error.getStatus().getDescription()).contains("Lost the").contains(node.address());
    await()
        .untilAsserted(() ->
            assertThat(cluster.nodes())
                .filteredOn(other -> other != node)
                .allSatisfy(other -> assertThat(other.stillOpen()).isZero()));
  }

  @ParameterizedTest
  @EnumSource(names = {"TILE", "FIRST_TOKEN", "KV", "KV_RECEIVED", "TOKENS"})
  void aNodeThatFailsEveryTimeEndsTheRequest(Step step) {
    nodeOf(step).script.put(step, new Fail(Status.INTERNAL.withDescription("broken")));
    StatusRuntimeException error =
        catchThrowableOfType(StatusRuntimeException.class, () -> run(generate(2)));
    assertThat(error.getStatus().getCode()).isEqualTo(Status.Code.INTERNAL);
    assertThat(error.getStatus().getDescription()).contains("broken");
  }

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "CLOSE")
  void aClientThatCancelsCancelsEveryStage(Step step) {
    ScriptedNode stalled = nodeOf(step);
    stalled.script.put(step, new Stall());
    Client client = call(generate(2).build());
    await().until(() -> stalled.stillOpen() == 1);
    client.cancel();
    await()
        .untilAsserted(() -> {
          assertThat(stalled.cancelled).hasValue(1);
          assertThat(cluster.nodes()).allSatisfy(node -> assertThat(node.stillOpen()).isZero());
        });
  }

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "CLOSE")
  void aDeadlineCancelsEveryStage(Step step) {
    ScriptedNode stalled = nodeOf(step);
    stalled.script.put(step, new Stall());
    StatusRuntimeException error =
        catchThrowableOfType(
            StatusRuntimeException.class,
            () ->
                cluster
                    .inference()
                    .withDeadlineAfter(400, TimeUnit.MILLISECONDS)
                    .generate(generate(2).build())
                    .forEachRemaining(response -> {}));
    assertThat(error.getStatus().getCode()).isEqualTo(Status.Code.DEADLINE_EXCEEDED);
    // On a busy machine the deadline may come before the stage is reached.
    await().untilAsserted(() -> assertThat(stalled.cancelled).hasValue(stalled.opened.get()));
  }

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "CLOSE")
  void abortEndsTheAnswerWithWhatThereIs(Step step) {
    ScriptedNode stalled = nodeOf(step);
    stalled.script.put(step, new Stall());
    Client client = call(generate(2).setRequestId("mine").build());
    await().until(() -> stalled.stillOpen() == 1 && client.isStarted());
    AbortRequest abort = AbortRequest.newBuilder().setRequestId("mine").build();
    assertThat(cluster.inference().abort(abort).getFound()).isTrue();
    assertThat(finished(client.all()).getReason()).isEqualTo(FinishReason.FINISH_REASON_ABORT);
    assertThat("hello world").startsWith(text(client.all()));
    assertThat(cluster.inference().abort(abort).getFound()).isFalse();
  }

  @Test
  void aNodeThatNeverLetsGoDoesNotHoldTheAnswerForLong() {
    cluster.decode.script.put(Step.CLOSE, new Stall());
    List<GenerateResponse> responses = run(generate());
    assertThat(text(responses)).isEqualTo("hello world");
    assertThat(finished(responses).getTimeline().getStagesCount()).isEqualTo(2);
    await().untilAsserted(() -> assertThat(cluster.decode.cancelled).hasValue(1));
  }

  @Test
  void anIdThatIsAtWorkIsRefused() {
    cluster.decode.script.put(Step.TOKENS, new Stall());
    Client client = call(generate().setRequestId("same").build());
    await().until(client::isStarted);
    assertRefused(generate().setRequestId("same"), "\"same\" is at work already");
    client.cancel();
  }

  @Test
  void aClientThatDoesNotReadIsCutOffBeforeItsAnswerFillsTheRouter() {
    cluster.decode.answer = "0123456789".repeat(4_000);
    cluster.decode.script.put(Step.DECODE_DONE, new Stall());
    cluster.decode.ignoresMaxTokens = true;
    Client client = new Client(false);
    cluster.asyncInference().generate(generate().build(), client);
    await().until(() -> cluster.decode.cancelled.get() == 1);
    await().until(() -> inFlight() == 0);
    client.readOn();
    assertThatThrownBy(client::all).hasMessageContaining("reads too slowly");
    assertThat(text(client.heard)).hasSizeLessThan(20_000);
  }

  @Test
  void thereIsNoNodeForAStage() {
    cluster.decode.leave();
    await().until(() -> !cluster.router.ready());
    assertThatThrownBy(() -> run(generate()))
        .hasMessageContaining("UNAVAILABLE")
        .hasMessageContaining("No node serves the decode stage")
        .hasMessageContaining("epidote node --stages decode");
  }

  @Test
  void textNeedsNoEncodeNode() {
    cluster.encode.leave();
    await().until(() -> !cluster.router.ready());
    assertThat(text(run(generate()))).isEqualTo("hello world");
    assertThatThrownBy(() -> run(generate(1))).hasMessageContaining("the encode stage");
  }

  @Test
  void manyRequestsAtOnce() {
    List<CompletableFuture<List<GenerateResponse>>> all = new ArrayList<>();
    for (int i = 0; i < 16; i++) {
      Client client = call(generate(i % 3 + 1).build());
      all.add(CompletableFuture.supplyAsync(client::all));
    }
    for (CompletableFuture<List<GenerateResponse>> one : all) {
      assertThat(text(one.orTimeout(20, TimeUnit.SECONDS).join())).isEqualTo("hello world");
    }
  }

  private ScriptedNode nodeOf(Step step) {
    return switch (step) {
      case TILE -> cluster.encode;
      case FIRST_TOKEN, KV -> cluster.prefill;
      case KV_RECEIVED, TOKENS, MORE_TOKENS, DECODE_DONE, CLOSE -> cluster.decode;
    };
  }

  private Client call(GenerateRequest request) {
    Client client = new Client(true);
    cluster.asyncInference().generate(request, client);
    return client;
  }

  /** A client that keeps what it hears. */
  private static final class Client
      implements ClientResponseObserver<GenerateRequest, GenerateResponse> {
    private final List<GenerateResponse> heard = new CopyOnWriteArrayList<>();
    private final CompletableFuture<Void> end = new CompletableFuture<>();
    private final boolean reads;
    private @Nullable ClientCallStreamObserver<GenerateRequest> stream;

    Client(boolean reads) {
      this.reads = reads;
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<GenerateRequest> requestStream) {
      stream = requestStream;
      if (!reads) {
        requestStream.disableAutoRequestWithInitial(0);
      }
    }

    @Override
    public void onNext(GenerateResponse response) {
      heard.add(response);
    }

    @Override
    public void onError(Throwable error) {
      end.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {
      end.complete(null);
    }

    boolean isStarted() {
      return !heard.isEmpty();
    }

    void cancel() {
      if (stream != null) {
        stream.cancel("the test cancels", null);
      }
    }

    void readOn() {
      if (stream != null) {
        stream.request(Integer.MAX_VALUE);
      }
    }

    List<GenerateResponse> all() {
      end.orTimeout(20, TimeUnit.SECONDS).join();
      return heard;
    }
  }
}
