package io.epidote.stages;

import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.proto.stage.v1.DecodeRequest;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.DecodeServiceGrpc;
import io.epidote.proto.stage.v1.DecodeStart;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.MediaReady;
import io.epidote.proto.stage.v1.PrefillRequest;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.stage.v1.TileReady;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.grpc.Context;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/** Plays the router's part for one request after the other or many at a time. */
final class RouterDriver implements AutoCloseable {
  /** Moments at which a test may interfere. */
  enum Moment {
    TILE,
    ENCODED,
    MEDIA_RECEIVED,
    FIRST_TOKEN,
    KV_READY,
    KV_RECEIVED,
    TOKEN
  }

  /** How announcements of tiles get to prefill; a test may hold back, shuffle and repeat them. */
  interface Delivery {
    void deliver(MediaReady ready, Consumer<MediaReady> prefill);
  }

  record Answer(List<Integer> tokens, FinishReason reason, List<StageTiming> timings) {
    StageTiming timing(Stage stage) {
      return timings.stream()
          .filter(timing -> timing.getStage() == stage)
          .findFirst()
          .orElseThrow();
    }
  }

  private final ChannelPool channels = new ChannelPool();
  private final String encode;
  private final String prefill;
  private final String decode;
  private volatile boolean overlap = true;

  RouterDriver(TestNode encode, TestNode prefill, TestNode decode) {
    this.encode = encode.runtime.address();
    this.prefill = prefill.runtime.address();
    this.decode = decode.runtime.address();
  }

  Run start(ToyRequest request) {
    return start(request, (moment, run) -> {});
  }

  Run start(ToyRequest request, BiConsumer<Moment, Run> hook) {
    return start(request, hook, UnaryOperator.identity());
  }

  /**
   * @param hook told of each moment; may call {@link Run#cancel}
   * @param swapKv may change what decode is told about the KV blocks
   */
  Run start(ToyRequest request, BiConsumer<Moment, Run> hook, UnaryOperator<KvReady> swapKv) {
    return start(request, hook, swapKv, (ready, prefill) -> prefill.accept(ready));
  }

  Run start(ToyRequest request, BiConsumer<Moment, Run> hook, Delivery delivery) {
    return start(request, hook, UnaryOperator.identity(), delivery);
  }

  private Run start(
      ToyRequest request,
      BiConsumer<Moment, Run> hook,
      UnaryOperator<KvReady> swapKv,
      Delivery delivery) {
    Run run = new Run(request, hook, swapKv, delivery);
    run.start();
    return run;
  }

  /** From now on, stages work strictly one after the other. */
  void forbidOverlap() {
    overlap = false;
  }

  @Override
  public void close() {
    channels.close();
  }

  final class Run {
    final CompletableFuture<Answer> answer = new CompletableFuture<>();
    private final ToyRequest request;
    private final BiConsumer<Moment, Run> hook;
    private final UnaryOperator<KvReady> swapKv;
    private final Context.CancellableContext context = Context.ROOT.withCancellation();
    private final List<Integer> tokens = new ArrayList<>();
    private final List<StageTiming> timings = new ArrayList<>();
    private final List<CompletableFuture<Void>> streams = new ArrayList<>();
    private @Nullable Throwable firstError;
    private final Delivery delivery;
    private final Set<Integer> delivered = new HashSet<>();
    private boolean encoded;
    private boolean kvForgotten;
    private int covered;
    private FinishReason reason = FinishReason.FINISH_REASON_UNSPECIFIED;

    // Set by open, before any stream can answer.
    @SuppressWarnings("NullAway.Init")
    private StreamObserver<PrefillRequest> toPrefill;

    @SuppressWarnings("NullAway.Init")
    private StreamObserver<DecodeRequest> toDecode;

    private Run(
        ToyRequest request,
        BiConsumer<Moment, Run> hook,
        UnaryOperator<KvReady> swapKv,
        Delivery delivery) {
      this.delivery = delivery;
      this.request = request;
      this.hook = hook;
      this.swapKv = swapKv;
    }

    /** Decode will never be told of the KV blocks. */
    void forgetKv() {
      kvForgotten = true;
    }

    void cancel() {
      context.cancel(null);
    }

    private void start() {
      context.run(this::open);
      CompletableFuture.allOf(streams.toArray(CompletableFuture[]::new))
          .whenComplete((done, error) -> {
            synchronized (this) {
              if (firstError != null) {
                answer.completeExceptionally(firstError);
              } else {
                answer.complete(new Answer(List.copyOf(tokens), reason, List.copyOf(timings)));
              }
            }
          });
    }

    private synchronized void open() {
      toDecode =
          DecodeServiceGrpc.newStub(channels.channel(decode, ChannelKind.CONTROL))
              .decode(new Stream<>(this::decoded));
      toDecode.onNext(
          DecodeRequest.newBuilder()
              .setStart(
                  DecodeStart.newBuilder()
                      .setRequestId(request.id())
                      .setPriority(request.priority())
                      .setPromptTokens(request.promptTokens())
                      .setSampling(request.sampling()))
              .build());
      toPrefill =
          PrefillServiceGrpc.newStub(channels.channel(prefill, ChannelKind.CONTROL))
              .prefill(new Stream<>(this::prefilled));
      toPrefill.onNext(
          PrefillRequest.newBuilder()
              .setStart(
                  request.prefillStart().toBuilder().setMediaFirst(!overlap).setKvLast(!overlap))
              .build());
      if (request.pictures().isEmpty()) {
        toPrefill.onCompleted();
      } else {
        EncodeServiceGrpc.newStub(channels.channel(encode, ChannelKind.CONTROL))
            .encode(
                EncodeRequest.newBuilder()
                    .setRequestId(request.id())
                    .setPriority(request.priority())
                    .addAllItems(request.mediaItems())
                    .build(),
                new Stream<>(this::encoded));
      }
    }

    private void encoded(EncodeResponse response) {
      if (response.hasReady()) {
        TileReady ready = response.getReady();
        delivery.deliver(
            MediaReady.newBuilder()
                .setSpan(request.span(ready.getItem(), ready.getTile()))
                .setHandle(ready.getHandle())
                .build(),
            this::toPrefill);
        hook.accept(Moment.TILE, this);
      } else if (response.hasDone()) {
        timings.add(response.getDone().getTiming());
        encoded = true;
        completePrefill();
        hook.accept(Moment.ENCODED, this);
      }
    }

    private synchronized void toPrefill(MediaReady ready) {
      if (!context.isCancelled() && delivered.size() < request.tiles()) {
        toPrefill.onNext(PrefillRequest.newBuilder().setMedia(ready).build());
        delivered.add(ready.getSpan());
        completePrefill();
      }
    }

    private void completePrefill() {
      if (encoded && delivered.size() == request.tiles()) {
        toPrefill.onCompleted();
      }
    }

    private void prefilled(PrefillResponse response) {
      switch (response.getEventCase()) {
        case MEDIA_RECEIVED -> hook.accept(Moment.MEDIA_RECEIVED, this);
        case FIRST_TOKEN -> {
          tokens.add(response.getFirstToken().getToken().getTokenId());
          reason = response.getFirstToken().getFinishReason();
          hook.accept(Moment.FIRST_TOKEN, this);
          if (reason == FinishReason.FINISH_REASON_UNSPECIFIED) {
            toDecode.onNext(
                DecodeRequest.newBuilder().setFirstToken(response.getFirstToken()).build());
          } else {
            // Nothing is left to decode; the decode node is told by a cancel.
            streams.get(0).complete(null);
            toDecode.onError(io.grpc.Status.CANCELLED.asRuntimeException());
          }
        }
        case KV -> {
          hook.accept(Moment.KV_READY, this);
          covered += response.getKv().getTokens();
          if (!kvForgotten) {
            toDecode.onNext(
                DecodeRequest.newBuilder().setKv(swapKv.apply(response.getKv())).build());
            if (covered == request.promptTokens()) {
              toDecode.onCompleted();
            }
          }
        }
        case DONE -> timings.add(response.getDone().getTiming());
        case EVENT_NOT_SET -> throw new IllegalStateException("empty response");
      }
    }

    private void decoded(DecodeResponse response) {
      switch (response.getEventCase()) {
        case KV_RECEIVED -> hook.accept(Moment.KV_RECEIVED, this);
        case TOKENS -> {
          for (SampledToken token : response.getTokens().getTokensList()) {
            tokens.add(token.getTokenId());
          }
          hook.accept(Moment.TOKEN, this);
        }
        case DONE -> {
          reason = response.getDone().getFinishReason();
          timings.add(response.getDone().getTiming());
        }
        case EVENT_NOT_SET -> throw new IllegalStateException("empty response");
      }
    }

    private final class Stream<T> implements StreamObserver<T> {
      private final Consumer<T> onMessage;
      private final CompletableFuture<Void> end = new CompletableFuture<>();

      Stream(Consumer<T> onMessage) {
        this.onMessage = onMessage;
        streams.add(end);
      }

      @Override
      public void onNext(T message) {
        synchronized (Run.this) {
          onMessage.accept(message);
        }
      }

      @Override
      public void onError(Throwable error) {
        synchronized (Run.this) {
          // The cancels that follow from it say nothing.
          firstError = firstError == null ? error : firstError;
        }
        end.completeExceptionally(error);
        // As a router does: one stage's failure ends the others.
        context.cancel(null);
      }

      @Override
      public void onCompleted() {
        end.complete(null);
      }
    }
  }
}
