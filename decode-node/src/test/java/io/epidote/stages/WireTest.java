package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import io.epidote.engine.error.EpidoteException;
import io.epidote.node.NodeConfig;
import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.stage.v1.DecodeRequest;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.DecodeServiceGrpc;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.MediaReady;
import io.epidote.proto.stage.v1.MediaSpan;
import io.epidote.proto.stage.v1.PrefillRequest;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.stage.v1.PullRequest;
import io.epidote.proto.stage.v1.PullResponse;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.epidote.proto.v1.SamplingParams;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** One call at a time: what a stage answers to messages that should not come, and to slow peers. */
@Timeout(300)
final class WireTest {
  private final ChannelPool channels = new ChannelPool();

  @AfterEach
  void close() {
    channels.close();
  }

  /** Collects a call's messages and its end. */
  private static class Collected<T> implements StreamObserver<T> {
    final BlockingQueue<T> messages = new LinkedBlockingQueue<>();
    final CompletableFuture<Void> end = new CompletableFuture<>();

    @Override
    public void onNext(T message) {
      messages.add(message);
    }

    @Override
    public void onError(Throwable error) {
      end.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {
      end.complete(null);
    }

    EpidoteException error() {
      return end.orTimeout(60, TimeUnit.SECONDS)
          .handle((done, error) -> GrpcErrors.fromStatus(error))
          .join();
    }
  }

  private ManagedChannel to(TestNode node) {
    return channels.channel(node.runtime.address(), ChannelKind.CONTROL);
  }

  private static TestNode node(String stages) {
    return new TestNode(stages, Set.of(), TestNode.Options.defaults());
  }

  private static PrefillRequest start(int tokens, MediaSpan... spans) {
    PrefillStart.Builder start =
        PrefillStart.newBuilder()
            .addAllSpans(List.of(spans))
            .setSampling(SamplingParams.newBuilder().setMaxTokens(4).setTemperature(0));
    for (int i = 0; i < tokens; i++) {
      start.addTokenIds(i % 90);
    }
    return PrefillRequest.newBuilder().setStart(start).build();
  }

  private static PrefillRequest ofAnswer(int tokens, int answer) {
    PrefillRequest.Builder request = start(tokens).toBuilder();
    request.getStartBuilder().setAnswerTokens(answer);
    return request.build();
  }

  private static MediaSpan span(int position, int tokens) {
    return MediaSpan.newBuilder().setPosition(position).setTokens(tokens).build();
  }

  private EpidoteException prefillError(TestNode node, PrefillRequest... requests) {
    Collected<PrefillResponse> answers = new Collected<>();
    StreamObserver<PrefillRequest> call = PrefillServiceGrpc.newStub(to(node)).prefill(answers);
    List.of(requests).forEach(call::onNext);
    if (requests.length == 0) {
      call.onCompleted();
    }
    return answers.error();
  }

  @Test
  void prefillNamesWhatIsWrongWithItsInput() {
    try (TestNode node = node("P")) {
      PrefillRequest media =
          PrefillRequest.newBuilder()
              .setMedia(
                  MediaReady.newBuilder()
                      .setHandle(Handle.newBuilder().setAddress("127.0.0.1:1").setBytes(64)))
              .build();
      assertThat(
              List.of(
                  prefillError(node),
                  prefillError(node, media),
                  prefillError(node, start(10), start(10)),
                  prefillError(node, start(10), media),
                  prefillError(node, start(10, span(8, 4))),
                  prefillError(node, start(10, span(4, 4), span(2, 4))),
                  prefillError(node, start(10, span(4, 0))),
                  prefillError(node, start(30, span(4, 5))),
                  // 64 bytes where 4 tokens have 128.
                  prefillError(node, start(10, span(4, 4)), media),
                  prefillError(
                      node,
                      PrefillRequest.newBuilder()
                          .setStart(PrefillStart.newBuilder().addTokenIds(97))
                          .build()),
                  prefillError(node, ofAnswer(10, 10)),
                  prefillError(node, ofAnswer(10, -1)),
                  prefillError(
                      node,
                      PrefillRequest.newBuilder().setStart(PrefillStart.newBuilder()).build())))
          .hasOnlyElementsOfType(EpidoteException.InvalidRequest.class);
      node.assertEmpty();
    }
  }

  private EpidoteException decodeError(TestNode node, DecodeRequest... requests) {
    Collected<DecodeResponse> answers = new Collected<>();
    StreamObserver<DecodeRequest> call = DecodeServiceGrpc.newStub(to(node)).decode(answers);
    List.of(requests).forEach(call::onNext);
    if (requests.length < 2) {
      call.onCompleted();
    }
    return answers.error();
  }

  private static DecodeRequest decodeStart(int promptTokens) {
    DecodeRequest.Builder request = DecodeRequest.newBuilder();
    request.getStartBuilder().setPromptTokens(promptTokens).getSamplingBuilder().setMaxTokens(4);
    return request.build();
  }

  private static DecodeRequest penalised(int promptTokens, int promptId, int answerId) {
    DecodeRequest.Builder request = decodeStart(promptTokens).toBuilder();
    request
        .getStartBuilder()
        .addPromptTokenIds(promptId)
        .addAnswerTokenIds(answerId)
        .getSamplingBuilder()
        .setRepetitionPenalty(1.1f);
    return request.build();
  }

  private static DecodeRequest kv(int first, int tokens, int blocks) {
    return DecodeRequest.newBuilder()
        .setKv(
            KvReady.newBuilder()
                .setFirstToken(first)
                .setTokens(tokens)
                .setHandle(
                    Handle.newBuilder()
                        .setAddress("127.0.0.1:1")
                        .setBytes((long) blocks * ToyDecoder.SHAPE.kvBlockBytes())))
        .build();
  }

  private static DecodeRequest withKeys(DecodeRequest kv, int bytes) {
    return kv.toBuilder()
        .setKv(kv.getKv().toBuilder().setBlockKeys(ByteString.copyFrom(new byte[bytes])))
        .build();
  }

  private static DecodeRequest firstToken(int id) {
    return DecodeRequest.newBuilder()
        .setFirstToken(FirstToken.newBuilder().setToken(SampledToken.newBuilder().setTokenId(id)))
        .build();
  }

  @Test
  void decodeNamesWhatIsWrongWithItsInput() {
    try (TestNode node = node("D")) {
      assertThat(
              List.of(
                  decodeError(node),
                  decodeError(node, decodeStart(40)),
                  decodeError(node, kv(0, 40, 3), decodeStart(40)),
                  decodeError(node, decodeStart(40), decodeStart(40)),
                  decodeError(node, decodeStart(0), kv(0, 16, 1)),
                  decodeError(node, decodeStart(40), kv(16, 24, 2)),
                  decodeError(node, decodeStart(40), kv(0, 41, 3)),
                  decodeError(node, decodeStart(40), kv(0, 40, 2)),
                  decodeError(node, decodeStart(40), kv(0, 10, 1), kv(10, 30, 2)),
                  // Two full blocks, but three keys; a key and a half.
                  decodeError(node, decodeStart(40), withKeys(kv(0, 40, 3), 96)),
                  decodeError(node, decodeStart(40), withKeys(kv(0, 40, 3), 48)),
                  decodeError(node, penalised(40, 5, 97), firstToken(5)),
                  decodeError(node, penalised(40, -1, 5), firstToken(5)),
                  decodeError(node, decodeStart(40), firstToken(97)),
                  decodeError(node, decodeStart(40), firstToken(5), firstToken(5))))
          .hasOnlyElementsOfType(EpidoteException.InvalidRequest.class);
      node.assertEmpty();
    }
  }

  @Test
  void aProducerThatNobodyListensForIsUnavailable() {
    try (TestNode node = node("D")) {
      assertThat(decodeError(node, decodeStart(40), kv(0, 40, 3), firstToken(5)))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("127.0.0.1:1");
      node.assertEmpty();
    }
  }

  private EpidoteException encodeError(TestNode node, MediaItem... items) {
    Collected<EncodeResponse> answers = new Collected<>();
    EncodeServiceGrpc.newStub(to(node))
        .encode(EncodeRequest.newBuilder().addAllItems(List.of(items)).build(), answers);
    return answers.error();
  }

  private static MediaItem item(int tiles, int... file) {
    byte[] bytes = new byte[file.length];
    for (int i = 0; i < file.length; i++) {
      bytes[i] = (byte) file[i];
    }
    return MediaItem.newBuilder()
        .setTiles(tiles)
        .setSha256(ToyRequest.sha256(bytes))
        .setData(ByteString.copyFrom(bytes))
        .build();
  }

  @Test
  void encodeNamesWhatIsWrongWithItsInput() {
    try (TestNode node = node("E")) {
      assertThat(
              List.of(
                  encodeError(node),
                  encodeError(node, item(0, 1, 1)),
                  encodeError(node, item(1)),
                  encodeError(node, item(2, 2, 1).toBuilder().clearSha256().build()),
                  encodeError(node, item(2, 2, 1).toBuilder().addWanted(2).build()),
                  encodeError(node, item(2, 2, 1).toBuilder().addWanted(1).addWanted(0).build()),
                  // One picture is fine, the other is none.
                  encodeError(node, item(1, 1, 1), item(1, -1, 1))))
          .hasOnlyElementsOfType(EpidoteException.InvalidRequest.class);
      assertThat(encodeError(node, item(3, 2, 1)))
          .isInstanceOf(EpidoteException.InvalidRequest.class)
          .hasMessageContaining("2 tiles here, but the request says 3");
      assertThat(encodeError(node, item(Integer.MAX_VALUE, 1, 1), item(5, 1, 1)))
          .isInstanceOf(EpidoteException.TooLarge.class);
      assertThat(encodeError(node, item(1, new int[TestNode.FILE_BYTES + 1])))
          .isInstanceOf(EpidoteException.TooLarge.class)
          .hasMessageContaining("--media-cache");
      node.assertEmpty();
    }
  }

  private Context.CancellableContext encode(TestNode node, MediaItem item) {
    Context.CancellableContext call = Context.current().withCancellation();
    call.run(() ->
        EncodeServiceGrpc.newStub(to(node))
            .encode(EncodeRequest.newBuilder().addItems(item).build(), new Collected<>()));
    return call;
  }

  @Test
  void filesThatWaitHaveABound() {
    int[] file = new int[TestNode.FILE_BYTES * 2 / 3];
    file[0] = 1;
    int blocks = 20;
    try (TestNode node =
        new TestNode("E", Set.of(), TestNode.Options.defaults().withMediaBlocks(blocks))) {
      Context.CancellableContext holder = encode(node, item(blocks, blocks, 1));
      await().until(() -> node.status().getMediaBlocksUsed() == blocks);
      Context.CancellableContext waiter = encode(node, item(1, file));
      await().until(() -> node.status().getQueued() == 1);
      assertThat(encodeError(node, item(1, file)))
          .isInstanceOf(EpidoteException.Exhausted.class)
          .hasMessageContaining("bytes of media files");
      waiter.cancel(null);
      await().until(() -> node.status().getQueued() == 0);
      // Its file went with it.
      waiter = encode(node, item(1, file));
      await().until(() -> node.status().getQueued() == 1);
      holder.cancel(null);
      // Once it is encoded, it counts no more.
      await().until(() -> node.status().getHandles() == 1);
      Context.CancellableContext next = encode(node, item(1, file));
      await().until(() -> node.status().getHandles() == 2);
      waiter.cancel(null);
      next.cancel(null);
      node.assertEmpty();
    }
  }

  @Test
  void tilesThatNobodyPullsExpire() {
    TestNode.Options options =
        TestNode.Options.defaults()
            .withLimits(
                new NodeConfig.Limits(
                    Duration.ofMillis(300),
                    Duration.ofSeconds(10),
                    Duration.ofMinutes(2),
                    Duration.ofMillis(200),
                    1024,
                    1024,
                    4096));
    try (TestNode node = new TestNode("E", Set.of(), options)) {
      assertThat(encodeError(node, item(6, 6, 1)))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("0.3s");
      node.assertEmpty();
    }
  }

  /** Reads nothing after the first message. */
  private static final class Reluctant<Q, R> extends Collected<R>
      implements ClientResponseObserver<Q, R> {
    @Override
    public void beforeStart(ClientCallStreamObserver<Q> call) {
      call.disableAutoRequestWithInitial(1);
    }
  }

  private static ManagedChannel narrow(TestNode node) {
    return NettyChannelBuilder.forTarget(node.runtime.address())
        .usePlaintext()
        .flowControlWindow(1024)
        .build();
  }

  @Test
  void aCallerThatDoesNotReadLosesItsRequestAndBlocksNobody() {
    NodeConfig.Limits limits =
        new NodeConfig.Limits(
            Duration.ofSeconds(30),
            Duration.ofSeconds(10),
            Duration.ofMinutes(2),
            Duration.ofMillis(200),
            1024,
            1024,
            8);
    try (TestNode node =
        new TestNode("PD", Set.of(), TestNode.Options.defaults().withLimits(limits))) {
      SamplingParams sampling =
          SamplingParams.newBuilder()
              .setTemperature(0)
              .setMaxTokens(235)
              .setLogprobs(true)
              .setTopLogprobs(20)
              .build();
      Collected<PrefillResponse> prefilled = new Collected<>();
      PrefillServiceGrpc.newStub(to(node))
          .prefill(prefilled)
          .onNext(
              start(16).toBuilder()
                  .setStart(start(16).getStart().toBuilder().setSampling(sampling))
                  .build());
      ManagedChannel channel = narrow(node);
      Reluctant<DecodeRequest, DecodeResponse> reluctant = new Reluctant<>();
      StreamObserver<DecodeRequest> decode = DecodeServiceGrpc.newStub(channel).decode(reluctant);
      DecodeRequest.Builder begin = DecodeRequest.newBuilder();
      begin.getStartBuilder().setPromptTokens(16).setSampling(sampling);
      decode.onNext(begin.build());
      FirstToken first = take(prefilled, response -> response.hasFirstToken()).getFirstToken();
      decode.onNext(DecodeRequest.newBuilder().setFirstToken(first).build());
      KvReady ready = take(prefilled, response -> response.hasKv()).getKv();
      decode.onNext(DecodeRequest.newBuilder().setKv(ready).build());
      node.assertEmpty();
      assertThat(
              node.meters
                  .get("epidote.stage.requests")
                  .tag("outcome", "cancelled")
                  .counter()
                  .count())
          .isEqualTo(1);
      channel.shutdownNow();
      node.assertEmpty();
    }
  }

  private static <T> T take(Collected<T> from, Function<T, Boolean> wanted) {
    try {
      while (true) {
        T message = from.messages.poll(60, TimeUnit.SECONDS);
        if (message == null) {
          throw new AssertionError("no such message came");
        }
        if (wanted.apply(message)) {
          return message;
        }
      }
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aPullerThatDoesNotReadHoldsBlocksNoLongerThanItsLease(boolean cancelled) {
    NodeConfig.Limits limits =
        new NodeConfig.Limits(
            Duration.ofMillis(400),
            Duration.ofSeconds(10),
            Duration.ofMinutes(2),
            Duration.ofMillis(200),
            1024,
            1024,
            4096);
    try (TestNode node =
        new TestNode("P", Set.of(), TestNode.Options.defaults().withLimits(limits))) {
      Collected<PrefillResponse> prefilled = new Collected<>();
      PrefillServiceGrpc.newStub(to(node)).prefill(prefilled).onNext(start(250));
      Handle handle = take(prefilled, response -> response.hasKv()).getKv().getHandle();
      ManagedChannel channel = narrow(node);
      Reluctant<PullRequest, PullResponse> reluctant = new Reluctant<>();
      TransferServiceGrpc.newStub(channel)
          .pull(PullRequest.newBuilder().setHandle(handle).build(), reluctant);
      if (cancelled) {
        channel.shutdownNow();
      }
      assertThat(prefilled.error()).isInstanceOf(EpidoteException.Unavailable.class);
      node.assertEmpty();
      channel.shutdownNow();
    }
  }

  @Test
  void healthAnswers() {
    try (TestNode node = node("D")) {
      HealthCheckResponse health =
          HealthGrpc.newBlockingStub(to(node)).check(HealthCheckRequest.getDefaultInstance());
      assertThat(health.getStatus()).isEqualTo(HealthCheckResponse.ServingStatus.SERVING);
    }
  }
}
