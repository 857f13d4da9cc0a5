package io.epidote.router;

import io.epidote.node.grpc.GrpcTransport;
import io.epidote.proto.stage.v1.DecodeDone;
import io.epidote.proto.stage.v1.DecodeRequest;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.DecodeServiceGrpc;
import io.epidote.proto.stage.v1.DecodeStart;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.KvReceived;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.MediaReceived;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.stage.v1.PrefillRequest;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.stage.v1.RegisterRequest;
import io.epidote.proto.stage.v1.RegisterResponse;
import io.epidote.proto.stage.v1.RegistryServiceGrpc;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.stage.v1.StageDone;
import io.epidote.proto.stage.v1.TileReady;
import io.epidote.proto.stage.v1.TilesReserved;
import io.epidote.proto.stage.v1.TokensSampled;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * A node that speaks the stage protocol over real gRPC and computes nothing: it answers every
 * request with a fixed text. At each step it can be told to stall, to fail, or to die.
 */
final class ScriptedNode implements AutoCloseable {
  static final int KV_BLOCKS = 100;

  /** Points of the protocol, each named after what comes next. */
  enum Step {
    TILE,
    FIRST_TOKEN,
    KV,
    KV_RECEIVED,
    TOKENS,
    MORE_TOKENS,
    DECODE_DONE,
    CLOSE
  }

  /** What to do at a step instead of going on. */
  sealed interface Action {}

  record Stall() implements Action {}

  record Fail(Status status) implements Action {}

  record Die() implements Action {}

  final Map<Step, Action> script = new ConcurrentHashMap<>();
  final List<String> heard = new CopyOnWriteArrayList<>();
  final List<EncodeRequest> encodes = new CopyOnWriteArrayList<>();
  final List<PrefillStart> prefills = new CopyOnWriteArrayList<>();
  final List<DecodeStart> decodes = new CopyOnWriteArrayList<>();
  final AtomicInteger opened = new AtomicInteger();
  final AtomicInteger cancelled = new AtomicInteger();
  final AtomicInteger completed = new AtomicInteger();
  final CompletableFuture<Throwable> registrationEnded = new CompletableFuture<>();
  final CompletableFuture<Void> welcomed = new CompletableFuture<>();
  volatile String answer = "hello world";
  volatile boolean answersReports = true;
  volatile boolean endsWithFirstToken;
  volatile boolean ignoresMaxTokens;

  /** Whether KV blocks of one token are announced before the first token is sampled. */
  volatile boolean announcesEarly;

  /** Whether there are blocks for tiles. */
  volatile boolean hasRoom = true;

  /** Tokens of each request's prompt, without those of its answer that a later attempt adds. */
  private static final Map<String, Integer> PROMPTS = new ConcurrentHashMap<>();

  private final Server server;
  private final String address;
  private final String id;
  private final List<Stage> stages;
  private final AtomicInteger handles = new AtomicInteger();
  private @Nullable ManagedChannel router;
  private @Nullable StreamObserver<RegisterRequest> registration;

  private ScriptedNode(String id, List<Stage> stages) throws IOException {
    this.id = id;
    this.stages = stages;
    server =
        GrpcTransport.server(new InetSocketAddress("127.0.0.1", 0))
            .addService(new Encode())
            .addService(new Prefill())
            .addService(new Decode())
            .build()
            .start();
    address = "127.0.0.1:" + server.getPort();
  }

  static ScriptedNode start(String id, Stage... stages) throws IOException {
    return new ScriptedNode(id, List.of(stages));
  }

  String address() {
    return address;
  }

  NodeHello.Builder hello() {
    return NodeHello.newBuilder()
        .setStatus(status(0))
        .setModel(TestModel.NAME)
        .setFingerprint(TestModel.FINGERPRINT)
        .setVersion("test");
  }

  NodeStatus.Builder status(int queued) {
    return NodeStatus.newBuilder()
        .setNodeId(id)
        .setAddress(address())
        .addAllStages(stages)
        .setKvBlocksTotal(KV_BLOCKS)
        .setQueued(queued);
  }

  /** Joins and waits for the welcome. */
  ScriptedNode join(int routerPort) throws Exception {
    sayHello(routerPort, hello().build());
    CompletableFuture.anyOf(welcomed, registrationEnded).get(10, TimeUnit.SECONDS);
    return this;
  }

  void sayHello(int routerPort, NodeHello hello) {
    router = NettyChannelBuilder.forAddress("127.0.0.1", routerPort).usePlaintext().build();
    registration =
        RegistryServiceGrpc.newStub(router)
            .register(
                new StreamObserver<>() {
                  @Override
                  public void onNext(RegisterResponse response) {
                    if (response.hasWelcome()) {
                      welcomed.complete(null);
                    } else if (answersReports) {
                      report(status(7).build(), response.getReportNow().getNonce());
                    }
                  }

                  @Override
                  public void onError(Throwable error) {
                    registrationEnded.complete(error);
                  }

                  @Override
                  public void onCompleted() {
                    registrationEnded.complete(new IllegalStateException("completed"));
                  }
                });
    registration.onNext(RegisterRequest.newBuilder().setHello(hello).build());
  }

  void report(NodeStatus status, long nonce) {
    report(NodeLoad.newBuilder().setStatus(status).setNonce(nonce));
  }

  void report(NodeLoad.Builder load) {
    if (registration != null) {
      registration.onNext(RegisterRequest.newBuilder().setLoad(load).build());
    }
  }

  void leave() {
    if (registration != null) {
      registration.onCompleted();
    }
  }

  /** Forgets what it was told and what it heard. */
  void reset() {
    script.clear();
    heard.clear();
    encodes.clear();
    prefills.clear();
    decodes.clear();
    opened.set(0);
    cancelled.set(0);
    completed.set(0);
    answer = "hello world";
    endsWithFirstToken = false;
    ignoresMaxTokens = false;
    announcesEarly = false;
    hasRoom = true;
  }

  int stillOpen() {
    return opened.get() - cancelled.get() - completed.get();
  }

  /** Stops as a killed process does: every connection breaks. */
  void die() {
    if (router != null) {
      router.shutdownNow();
    }
    server.shutdownNow();
  }

  @Override
  public void close() {
    die();
  }

  /** Returns true to go on. */
  private boolean at(Step step, Call<?> call) {
    return switch (script.get(step)) {
      case null -> true;
      case Stall() -> false;
      case Fail(Status status) -> {
        call.fail(status);
        yield false;
      }
      case Die() -> {
        die();
        yield false;
      }
    };
  }

  private Handle handle() {
    return Handle.newBuilder()
        .setNodeId(id)
        .setAddress(address())
        .setId(handles.incrementAndGet())
        .setBytes(64)
        .build();
  }

  private StageTiming timing(Stage stage, int units) {
    return StageTiming.newBuilder()
        .setStage(stage)
        .setNodeId(id)
        .setQueueMs(1)
        .setComputeMs(2)
        .setTransferMs(3)
        .setBytesMoved(4)
        .setUnits(units)
        .build();
  }

  /** How many tokens of the answer stand at the end of a prompt of so many tokens. */
  private static int answered(String requestId, int tokens) {
    return tokens - PROMPTS.computeIfAbsent(requestId.replaceFirst("~.*", ""), _ -> tokens);
  }

  private int next(int answered) {
    return answered < answer.length() ? answer.charAt(answered) : TestModel.END;
  }

  private static SampledToken token(int id) {
    return SampledToken.newBuilder().setTokenId(id).setLogprob(-0.5f).build();
  }

  /** Counts how every call ends. */
  private final class Call<T> {
    private final ServerCallStreamObserver<T> responses;
    private boolean ended;

    Call(StreamObserver<T> responses) {
      this.responses = (ServerCallStreamObserver<T>) responses;
      opened.incrementAndGet();
      this.responses.setOnCancelHandler(() -> end(cancelled));
    }

    private synchronized boolean end(AtomicInteger how) {
      if (ended) {
        return false;
      }
      ended = true;
      how.incrementAndGet();
      return true;
    }

    synchronized void send(T response) {
      if (!ended) {
        responses.onNext(response);
      }
    }

    void complete() {
      if (end(completed)) {
        responses.onCompleted();
      }
    }

    void fail(Status status) {
      if (end(completed)) {
        responses.onError(status.asRuntimeException());
      }
    }
  }

  private final class Encode extends EncodeServiceGrpc.EncodeServiceImplBase {
    @Override
    public void encode(EncodeRequest request, StreamObserver<EncodeResponse> responses) {
      Call<EncodeResponse> call = new Call<>(responses);
      encodes.add(request);
      heard.add("encode");
      if (!hasRoom) {
        return;
      }
      call.send(
          EncodeResponse.newBuilder().setReserved(TilesReserved.getDefaultInstance()).build());
      int units = 0;
      for (MediaItem item : request.getItemsList()) {
        for (int tile : item.getWantedList()) {
          units++;
          if (!at(Step.TILE, call)) {
            return;
          }
          call.send(
              EncodeResponse.newBuilder()
                  .setReady(
                      TileReady.newBuilder()
                          .setItem(item.getIndex())
                          .setTile(tile)
                          .setHandle(handle()))
                  .build());
        }
      }
      call.send(
          EncodeResponse.newBuilder()
              .setDone(StageDone.newBuilder().setTiming(timing(Stage.STAGE_ENCODE, units)))
              .build());
      call.complete();
    }
  }

  private final class Prefill extends PrefillServiceGrpc.PrefillServiceImplBase {
    @Override
    public StreamObserver<PrefillRequest> prefill(StreamObserver<PrefillResponse> responses) {
      Call<PrefillResponse> call = new Call<>(responses);
      return new StreamObserver<>() {
        private PrefillStart start = PrefillStart.getDefaultInstance();
        private final List<Integer> spans = new ArrayList<>();

        @Override
        public void onNext(PrefillRequest request) {
          if (request.hasStart()) {
            start = request.getStart();
            prefills.add(start);
            heard.add("prefill start");
          } else {
            spans.add(request.getMedia().getSpan());
            heard.add("prefill media " + request.getMedia().getSpan());
          }
          if (spans.size() == start.getSpansCount()) {
            answer();
          }
        }

        private void answer() {
          if (!spans.isEmpty()) {
            call.send(
                PrefillResponse.newBuilder()
                    .setMediaReceived(MediaReceived.getDefaultInstance())
                    .build());
          }
          int early = announcesEarly ? 1 : 0;
          if (early > 0) {
            kv(0, early);
          }
          if (!at(Step.FIRST_TOKEN, call)) {
            return;
          }
          int token = next(answered(start.getRequestId(), start.getTokenIdsCount()));
          FirstToken.Builder first = FirstToken.newBuilder().setToken(token(token));
          boolean stops = token == TestModel.END;
          boolean last = stops || endsWithFirstToken || start.getSampling().getMaxTokens() == 1;
          if (last) {
            first.setFinishReason(
                stops ? FinishReason.FINISH_REASON_STOP : FinishReason.FINISH_REASON_LENGTH);
          }
          call.send(PrefillResponse.newBuilder().setFirstToken(first).build());
          if (!last) {
            if (!at(Step.KV, call)) {
              return;
            }
            kv(early, start.getTokenIdsCount() - early);
          }
          call.send(
              PrefillResponse.newBuilder()
                  .setDone(
                      StageDone.newBuilder()
                          .setTiming(timing(Stage.STAGE_PREFILL, start.getTokenIdsCount())))
                  .build());
        }

        private void kv(int first, int tokens) {
          call.send(
              PrefillResponse.newBuilder()
                  .setKv(
                      KvReady.newBuilder()
                          .setFirstToken(first)
                          .setTokens(tokens)
                          .setHandle(handle()))
                  .build());
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {
          heard.add("prefill half-closed");
          call.complete();
        }
      };
    }
  }

  private final class Decode extends DecodeServiceGrpc.DecodeServiceImplBase {
    @Override
    public StreamObserver<DecodeRequest> decode(StreamObserver<DecodeResponse> responses) {
      Call<DecodeResponse> call = new Call<>(responses);
      return new StreamObserver<>() {
        private DecodeStart start = DecodeStart.getDefaultInstance();

        @Override
        public void onNext(DecodeRequest request) {
          switch (request.getEventCase()) {
            case START -> {
              start = request.getStart();
              decodes.add(start);
              heard.add("decode start");
            }
            case KV -> heard.add("decode kv");
            case FIRST_TOKEN -> {
              heard.add("decode first token");
              answer();
            }
            case EVENT_NOT_SET -> heard.add("decode nothing");
          }
        }

        private void answer() {
          if (!at(Step.KV_RECEIVED, call)) {
            return;
          }
          call.send(
              DecodeResponse.newBuilder().setKvReceived(KvReceived.getDefaultInstance()).build());
          if (!at(Step.TOKENS, call)) {
            return;
          }
          int most = ignoresMaxTokens ? Integer.MAX_VALUE : start.getSampling().getMaxTokens();
          int sent = 1;
          boolean more = sent < most;
          int before = answered(start.getRequestId(), start.getPromptTokens());
          for (int i = before + 1; i < answer.length() && more; i++) {
            if (call.responses.isCancelled()) {
              return;
            }
            if (i == 3 && !at(Step.MORE_TOKENS, call)) {
              return;
            }
            send(answer.charAt(i));
            more = ++sent < most;
          }
          FinishReason reason = FinishReason.FINISH_REASON_LENGTH;
          if (more) {
            send(TestModel.END);
            sent++;
            reason = FinishReason.FINISH_REASON_STOP;
          }
          if (!at(Step.DECODE_DONE, call)) {
            return;
          }
          call.send(
              DecodeResponse.newBuilder()
                  .setDone(
                      DecodeDone.newBuilder()
                          .setFinishReason(reason)
                          .setTiming(timing(Stage.STAGE_DECODE, sent - 1)))
                  .build());
          if (at(Step.CLOSE, call)) {
            call.complete();
          }
        }

        private void send(int id) {
          call.send(
              DecodeResponse.newBuilder()
                  .setTokens(TokensSampled.newBuilder().addTokens(token(id)))
                  .build());
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {}
      };
    }
  }
}
