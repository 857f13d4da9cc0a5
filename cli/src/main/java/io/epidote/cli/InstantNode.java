package io.epidote.cli;

import io.epidote.node.BuildInfo;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.node.registry.RegistrationClient;
import io.epidote.proto.stage.v1.DecodeDone;
import io.epidote.proto.stage.v1.DecodeRequest;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.DecodeServiceGrpc;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.KvReceived;
import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.stage.v1.PrefillRequest;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.stage.v1.StageDone;
import io.epidote.proto.stage.v1.TokensSampled;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.GetModelResponse;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.grpc.Server;
import io.grpc.stub.StreamObserver;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A node that speaks the stages' protocol and has every answer at once: what is measured with it is
 * the router. It sends each token in a message of its own, as a node that decodes does. Answers can
 * be held back after their second token.
 */
final class InstantNode implements AutoCloseable {
  private static final String HOST = "127.0.0.1";

  /** It has a text in most vocabularies. */
  private static final SampledToken TOKEN = SampledToken.newBuilder().setTokenId(100).build();

  private static final DecodeResponse NEXT_TOKEN =
      DecodeResponse.newBuilder().setTokens(TokensSampled.newBuilder().addTokens(TOKEN)).build();
  private static final DecodeResponse KV_RECEIVED =
      DecodeResponse.newBuilder().setKvReceived(KvReceived.getDefaultInstance()).build();

  private static final int KV_BLOCKS = 1 << 20;

  private final String id;
  private final List<Stage> stages;
  private final Server server;
  private final String address;
  private final ChannelPool channels = new ChannelPool();
  private final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          Thread.ofPlatform().daemon().name("instant-node").factory());
  private final RegistrationClient registration;
  private final AtomicInteger handles = new AtomicInteger();
  private final Queue<Runnable> held = new ConcurrentLinkedQueue<>();
  private volatile boolean holding;

  /**
   * @param router host:port of its gRPC
   * @param model that the router serves
   */
  InstantNode(String id, List<Stage> stages, String router, GetModelResponse model) {
    this.id = id;
    this.stages = stages;
    this.server =
        GrpcTransport.start(
            GrpcTransport.server(new InetSocketAddress(HOST, 0))
                .directExecutor()
                .addService(new Prefill())
                .addService(new Decode()),
            new InetSocketAddress(HOST, 0));
    this.address = HOST + ":" + server.getPort();
    this.registration =
        new RegistrationClient(
            router,
            channels,
            timer,
            NodeHello.newBuilder()
                .setModel(model.getName())
                .setFingerprint(model.getFingerprint())
                .setVersion(BuildInfo.VERSION)
                .build(),
            freshness -> CompletableFuture.completedFuture(load()));
    registration.start();
  }

  private NodeLoad load() {
    return NodeLoad.newBuilder()
        .setStatus(
            NodeStatus.newBuilder()
                .setNodeId(id)
                .setAddress(address)
                .addAllStages(stages)
                .setKvBlocksTotal(KV_BLOCKS))
        .build();
  }

  /** From now on answers stop after their second token, until they are released. */
  void hold() {
    holding = true;
  }

  /** Answers that are held back. */
  int held() {
    return held.size();
  }

  /** Lets all of them end. */
  void release() {
    holding = false;
    for (Runnable rest = held.poll(); rest != null; rest = held.poll()) {
      rest.run();
    }
  }

  private StageTiming timing(Stage stage, int units) {
    return StageTiming.newBuilder().setStage(stage).setNodeId(id).setUnits(units).build();
  }

  private final class Prefill extends PrefillServiceGrpc.PrefillServiceImplBase {
    @Override
    public StreamObserver<PrefillRequest> prefill(StreamObserver<PrefillResponse> responses) {
      return new StreamObserver<>() {
        @Override
        public void onNext(PrefillRequest request) {
          int tokens = request.getStart().getTokenIdsCount();
          responses.onNext(
              PrefillResponse.newBuilder()
                  .setKv(
                      KvReady.newBuilder()
                          .setTokens(tokens)
                          .setHandle(
                              Handle.newBuilder()
                                  .setNodeId(id)
                                  .setAddress(address)
                                  .setId(handles.incrementAndGet())))
                  .build());
          responses.onNext(
              PrefillResponse.newBuilder()
                  .setFirstToken(FirstToken.newBuilder().setToken(TOKEN))
                  .build());
          responses.onNext(
              PrefillResponse.newBuilder()
                  .setDone(StageDone.newBuilder().setTiming(timing(Stage.STAGE_PREFILL, tokens)))
                  .build());
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {
          responses.onCompleted();
        }
      };
    }
  }

  private final class Decode extends DecodeServiceGrpc.DecodeServiceImplBase {
    @Override
    public StreamObserver<DecodeRequest> decode(StreamObserver<DecodeResponse> responses) {
      return new StreamObserver<>() {
        private int tokens;

        @Override
        public void onNext(DecodeRequest request) {
          switch (request.getEventCase()) {
            case START -> tokens = request.getStart().getSampling().getMaxTokens();
            case FIRST_TOKEN -> answer();
            case KV, EVENT_NOT_SET -> {}
          }
        }

        private void answer() {
          responses.onNext(KV_RECEIVED);
          send(1);
          if (holding) {
            held.add(this::rest);
          } else {
            rest();
          }
        }

        private void rest() {
          send(tokens - 2);
          responses.onNext(
              DecodeResponse.newBuilder()
                  .setDone(
                      DecodeDone.newBuilder()
                          .setFinishReason(FinishReason.FINISH_REASON_LENGTH)
                          .setTiming(timing(Stage.STAGE_DECODE, tokens)))
                  .build());
        }

        private void send(int count) {
          for (int i = 0; i < count; i++) {
            responses.onNext(NEXT_TOKEN);
          }
        }

        @Override
        public void onError(Throwable error) {}

        @Override
        public void onCompleted() {
          responses.onCompleted();
        }
      };
    }
  }

  @Override
  public void close() {
    registration.close();
    server.shutdownNow();
    channels.close();
    timer.shutdown();
  }
}
