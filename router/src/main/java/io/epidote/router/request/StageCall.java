package io.epidote.router.request;

import com.google.common.util.concurrent.MoreExecutors;
import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.node.trace.OpenSpan;
import io.epidote.router.cluster.Member.Seat;
import io.epidote.router.cluster.StageNames;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptors;
import io.grpc.Context;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.SynchronizationContext;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * A call to one stage of one node. It is used only within its request's turn, to which it also
 * hands over everything that it hears; few messages are asked for ahead, so that a call is never
 * much further than the request. After {@link #cancel} it says nothing more.
 *
 * @param <Q> what is sent
 * @param <R> what is received
 */
final class StageCall<Q, R> {
  /** What becomes of a call. */
  interface Events<R> {
    void message(R response);

    /** The node ended the call in order. */
    void completed();

    void failed(StageFailure failure);
  }

  /** Enough that a pile of tiles does not come one thread's wake-up at a time. */
  private static final int AHEAD = 32;

  private final Seat seat;
  private final OpenSpan span;
  private final SynchronizationContext turn;
  private final Events<R> events;
  private final ClientCall<Q, R> call;
  private @Nullable StreamObserver<Q> requests;
  private boolean halfClosed;
  private boolean ended;

  private StageCall(
      MethodDescriptor<Q, R> method,
      CallOptions options,
      Seat seat,
      OpenSpan request,
      SynchronizationContext turn,
      Events<R> events) {
    this.seat = seat;
    this.turn = turn;
    this.events = events;
    Channel channel = seat.member().channel();
    if (request == OpenSpan.NONE) {
      this.span = request;
    } else {
      Metadata headers = new Metadata();
      this.span = request.call("call " + StageNames.of(seat.stage()), headers);
      span.attribute("epidote.node", seat.member().id());
      span.attribute("server.address", seat.member().address());
      channel =
          ClientInterceptors.intercept(channel, MetadataUtils.newAttachHeadersInterceptor(headers));
    }
    this.call = channel.newCall(method, options);
  }

  /**
   * Opens a call that takes any number of messages. All of them are small and no turn blocks, so
   * that what is heard is worked on where it arrives: handing every token to another thread took
   * longer than that work.
   *
   * @param request the span of which the call is a part
   */
  static <Q, R> StageCall<Q, R> open(
      MethodDescriptor<Q, R> method,
      Seat seat,
      OpenSpan request,
      SynchronizationContext turn,
      Events<R> events) {
    StageCall<Q, R> opened =
        new StageCall<>(
            method,
            CallOptions.DEFAULT.withExecutor(MoreExecutors.directExecutor()),
            seat,
            request,
            turn,
            events);
    // The turn may run in the client's call context, whose end must not end this call by itself.
    Context.ROOT.run(() ->
        opened.requests = ClientCalls.asyncBidiStreamingCall(opened.call, opened.new Responses()));
    return opened;
  }

  /**
   * Opens a call that takes one message, perhaps of many megabytes. What is heard may have the next
   * such call follow, which is not for a network's thread.
   *
   * @param request the span of which the call is a part
   */
  static <Q, R> StageCall<Q, R> open(
      MethodDescriptor<Q, R> method,
      Seat seat,
      Q message,
      OpenSpan request,
      SynchronizationContext turn,
      Events<R> events) {
    StageCall<Q, R> opened =
        new StageCall<>(method, CallOptions.DEFAULT, seat, request, turn, events);
    opened.halfClosed = true;
    Context.ROOT.run(
        () -> ClientCalls.asyncServerStreamingCall(opened.call, message, opened.new Responses()));
    return opened;
  }

  Seat seat() {
    return seat;
  }

  boolean ended() {
    return ended;
  }

  void send(Q request) {
    if (requests != null && !ended && !halfClosed) {
      requests.onNext(request);
    }
  }

  /** Says that nothing more will be sent; the node ends the call when it has nothing left, too. */
  void halfClose() {
    if (requests != null && !ended && !halfClosed) {
      halfClosed = true;
      requests.onCompleted();
    }
  }

  /** Ends the call at once; the node frees what it holds for it. */
  void cancel(String reason) {
    if (!ended) {
      end();
      call.cancel(reason, null);
    }
  }

  private void end() {
    ended = true;
    seat.release();
    span.end();
  }

  private final class Responses implements ClientResponseObserver<Q, R> {
    private @Nullable ClientCallStreamObserver<Q> flow;

    /** Messages that were taken and whose successors are not asked for yet. */
    private int taken;

    @Override
    public void beforeStart(ClientCallStreamObserver<Q> stream) {
      flow = stream;
      stream.disableAutoRequestWithInitial(AHEAD);
    }

    @Override
    public void onNext(R response) {
      turn.execute(() -> {
        if (!ended) {
          events.message(response);
          if (++taken == AHEAD / 2 && !ended && flow != null) {
            flow.request(taken);
            taken = 0;
          }
        }
      });
    }

    @Override
    public void onError(Throwable error) {
      turn.execute(() -> {
        if (!ended) {
          EpidoteException explained = explain(GrpcErrors.fromStatus(error));
          span.failed(ErrorKinds.of(explained), String.valueOf(explained.getMessage()));
          end();
          events.failed(new StageFailure(seat, explained, !GrpcErrors.wasTold(error)));
        }
      });
    }

    @Override
    public void onCompleted() {
      turn.execute(() -> {
        if (!ended) {
          end();
          events.completed();
        }
      });
    }
  }

  /** Adds what the caller cannot know: which node it was, and what can be done. */
  private EpidoteException explain(EpidoteException error) {
    return switch (error) {
      case EpidoteException.Unavailable e ->
          new EpidoteException.Unavailable(
              "Lost %s while it worked on the request: %s".formatted(seat, sentence(e)), e);
      case EpidoteException.Internal e ->
          new EpidoteException.Internal("%s failed: %s".formatted(capital(seat), sentence(e)), e);
      case EpidoteException.BadCheckpoint e ->
          new EpidoteException.Internal("%s failed: %s".formatted(capital(seat), sentence(e)), e);
      default -> error;
    };
  }

  private static String sentence(Throwable error) {
    String message = String.valueOf(error.getMessage()).strip();
    return message.endsWith(".") ? message : message + ".";
  }

  private static String capital(Seat seat) {
    String text = seat.toString();
    return Character.toUpperCase(text.charAt(0)) + text.substring(1);
  }

  /** Events that go to three lambdas. */
  static <R> Events<R> events(
      Consumer<R> message, Runnable completed, Consumer<StageFailure> failed) {
    return new Events<>() {
      @Override
      public void message(R response) {
        message.accept(response);
      }

      @Override
      public void completed() {
        completed.run();
      }

      @Override
      public void failed(StageFailure failure) {
        failed.accept(failure);
      }
    };
  }
}
