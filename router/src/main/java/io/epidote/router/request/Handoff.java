package io.epidote.router.request;

import io.epidote.node.trace.OpenSpan;
import io.epidote.proto.stage.v1.DecodeDone;
import io.epidote.proto.stage.v1.DecodeRequest;
import io.epidote.proto.stage.v1.DecodeResponse;
import io.epidote.proto.stage.v1.DecodeServiceGrpc;
import io.epidote.proto.stage.v1.DecodeStart;
import io.epidote.proto.stage.v1.FirstToken;
import io.epidote.proto.stage.v1.KvReady;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.router.cluster.Member.Seat;
import io.grpc.SynchronizationContext;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The call to decode: it is opened when prefill announces the first KV blocks, is told of all
 * others as they come, so that decode pulls them while prefill goes on, and of the first token when
 * the prompt is covered. Only within the request's turn.
 */
final class Handoff {
  /** What decode says. */
  interface Events {
    /** All KV blocks arrived: prefill is not needed any more. */
    void received();

    void tokens(List<SampledToken> tokens);

    void done(DecodeDone done);

    void ended();

    void failed(StageFailure failure);
  }

  private final Seat seat;
  private final OpenSpan span;
  private final SynchronizationContext turn;
  private final DecodeStart start;
  private final Events events;
  private @Nullable StageCall<DecodeRequest, DecodeResponse> call;
  private @Nullable FirstToken firstToken;
  private boolean firstTokenSent;
  private boolean received;
  private int covered;

  Handoff(Seat seat, OpenSpan span, SynchronizationContext turn, DecodeStart start, Events events) {
    this.seat = seat;
    this.span = span;
    this.turn = turn;
    this.start = start;
    this.events = events;
  }

  /** The call, once there is one. */
  @Nullable StageCall<DecodeRequest, DecodeResponse> call() {
    return call;
  }

  /** Whether all of the prompt's KV blocks were announced. */
  boolean isCovered() {
    return covered >= start.getPromptTokens();
  }

  /** Whether decode has all KV blocks. */
  boolean isReceived() {
    return received;
  }

  /** Prefill announced KV blocks. */
  void kv(KvReady kv) {
    open().send(DecodeRequest.newBuilder().setKv(kv).build());
    covered += kv.getTokens();
    sendFirstToken();
  }

  /** Prefill sampled a token that does not end the answer. */
  void firstToken(FirstToken first) {
    firstToken = first;
    sendFirstToken();
  }

  private void sendFirstToken() {
    if (firstToken != null && isCovered() && !firstTokenSent) {
      firstTokenSent = true;
      open().send(DecodeRequest.newBuilder().setFirstToken(firstToken).build());
    }
  }

  void cancel(String why) {
    if (call != null) {
      call.cancel(why);
    }
  }

  private StageCall<DecodeRequest, DecodeResponse> open() {
    if (call == null) {
      call =
          StageCall.open(
              DecodeServiceGrpc.getDecodeMethod(),
              seat,
              span,
              turn,
              StageCall.events(this::heard, events::ended, events::failed));
      call.send(DecodeRequest.newBuilder().setStart(start).build());
    }
    return call;
  }

  private void heard(DecodeResponse response) {
    switch (response.getEventCase()) {
      case KV_RECEIVED -> {
        received = true;
        events.received();
      }
      case TOKENS -> events.tokens(response.getTokens().getTokensList());
      case DONE -> {
        if (call != null) {
          call.halfClose();
        }
        events.done(response.getDone());
      }
      case EVENT_NOT_SET -> {}
    }
  }
}
