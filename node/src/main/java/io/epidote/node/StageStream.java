package io.epidote.node;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.node.grpc.ReplyStream;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import org.jspecify.annotations.Nullable;

/**
 * One call of a stage whose caller streams its input: a start, then events. gRPC delivers the
 * messages one after the other; each is handed to the engine thread in that order. What all such
 * calls have in common is decided here: which messages may come when, what is refused, and how a
 * call ends whose messages are out of order. The rest is the {@link Handler}'s.
 *
 * @param <Q> what the caller sends
 * @param <R> what it is answered
 * @param <C> the stage's state of a request
 */
public final class StageStream<Q, R, C> implements StreamObserver<Q> {
  /**
   * What a stage does with its calls. Everything but {@link #isStart} runs on the engine thread.
   */
  public interface Handler<Q, R, C> {
    /** The stage's word, for messages. */
    String stage();

    /** Requests that the stage holds. */
    int requests();

    boolean isStart(Q message);

    /**
     * Admits a request.
     *
     * @throws EpidoteException to refuse it; nothing may be held for it then
     */
    C begin(Q start, ReplyStream<R> reply);

    /**
     * Takes an event of a request that is not over.
     *
     * @throws EpidoteException to fail the request
     */
    void next(C request, Q event);

    /** Whether the request goes on. */
    boolean isOpen(C request);

    /** What the caller may not end its stream without, or null when it may. */
    @Nullable String missing(C request);

    /** The events that may follow the start, for messages. */
    String events();

    /** Ends the request with an error and frees what it holds; harmless when it is over. */
    void fail(C request, EpidoteException error);

    /** The same for a caller that is gone. */
    void cancelled(C request);
  }

  private final NodeContext node;
  private final Handler<Q, R, C> handler;
  private final ServerCallStreamObserver<R> observer;
  private final ReplyStream<R> reply;
  private boolean offered;
  private boolean refused;

  /** Set and read on the engine thread. */
  private @Nullable C request;

  /**
   * To be made inside the service method.
   *
   * @param observer as gRPC gives it to that method
   */
  public StageStream(NodeContext node, Handler<Q, R, C> handler, StreamObserver<R> observer) {
    this.node = requireNonNull(node, "node is null");
    this.handler = requireNonNull(handler, "handler is null");
    this.observer = (ServerCallStreamObserver<R>) observer;
    this.reply =
        new ReplyStream<>(this.observer, node.loop(), node.limits().replies(), this::cancelled);
  }

  @Override
  public void onNext(Q message) {
    if (handler.isStart(message) && !offered) {
      offered = true;
      if (!node.loop().offer(() -> begin(message))) {
        refused = true;
        observer.onError(GrpcErrors.toStatus(full()));
      }
    } else if (!refused) {
      node.loop().execute(() -> next(message));
    }
  }

  private void begin(Q start) {
    // A message before the start has failed the call already.
    if (reply.isClosed()) {
      return;
    }
    try {
      node.gate().check();
      if (handler.requests() >= node.limits().requests()) {
        throw full();
      }
      request = handler.begin(start, reply);
    } catch (EpidoteException e) {
      reply.fail(e);
    }
  }

  private void next(Q message) {
    C begun = request;
    if (begun == null || handler.isStart(message)) {
      outOfOrder("start comes first and once, then " + handler.events());
    } else if (handler.isOpen(begun)) {
      try {
        handler.next(begun, message);
      } catch (EpidoteException e) {
        handler.fail(begun, e);
      }
    }
  }

  @Override
  public void onCompleted() {
    if (!refused) {
      node.loop().execute(this::ended);
    }
  }

  private void ended() {
    String missing = request == null ? "start" : handler.missing(request);
    if (missing != null) {
      outOfOrder("the caller ended its stream before " + missing);
    }
  }

  private void outOfOrder(String what) {
    EpidoteException error =
        new EpidoteException.InvalidRequest(
            "The %s stream is out of order: %s.".formatted(handler.stage(), what));
    if (request == null) {
      reply.fail(error);
    } else {
      handler.fail(request, error);
    }
  }

  @Override
  public void onError(Throwable error) {
    // The cancel handler of the reply stream has been told.
  }

  private void cancelled() {
    if (request != null) {
      handler.cancelled(request);
    }
  }

  private EpidoteException full() {
    return new EpidoteException.Exhausted(
        "The %s stage has as many requests as it can hold; try again in a second."
            .formatted(handler.stage()));
  }
}
