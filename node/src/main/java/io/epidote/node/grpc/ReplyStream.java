package io.epidote.node.grpc;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.grpc.stub.ServerCallStreamObserver;
import java.util.ArrayDeque;
import java.util.concurrent.Executor;

/**
 * The answers of one call, written by the engine thread, which a slow peer must not block and must
 * not make hoard: messages wait here while the peer is not ready, up to a bound. Belongs to the
 * engine thread except for its construction.
 */
public final class ReplyStream<T> {
  private final ServerCallStreamObserver<T> call;
  private final ArrayDeque<T> waiting = new ArrayDeque<>();
  private final int bound;
  private final Executor engine;
  private final Runnable lost;
  private boolean completing;
  private boolean closed;

  /**
   * To be made inside the service method.
   *
   * @param engine the engine thread
   * @param bound messages that may wait for a slow peer
   * @param lost runs on the engine thread when the peer cancelled, vanished, passed its deadline or
   *     is too slow; possibly after the call has ended, and possibly twice
   */
  public ReplyStream(ServerCallStreamObserver<T> call, Executor engine, int bound, Runnable lost) {
    this.call = requireNonNull(call, "call is null");
    this.engine = requireNonNull(engine, "engine is null");
    this.lost = requireNonNull(lost, "lost is null");
    this.bound = bound;
    call.setOnReadyHandler(() -> engine.execute(this::flush));
    call.setOnCancelHandler(() -> engine.execute(this::cancelled));
  }

  /** Sends a message, now or when the peer is ready. Ignored when the call is over. */
  public void send(T message) {
    if (closed || completing) {
      return;
    }
    if (waiting.isEmpty() && call.isReady()) {
      call.onNext(message);
      return;
    }
    waiting.add(message);
    if (waiting.size() > bound) {
      fail(
          new EpidoteException.Exhausted(
              "The caller reads too slowly: %d messages wait for it. Read faster, or ask again later."
                  .formatted(bound)));
      // Later, because the stage is in the middle of what made it send.
      engine.execute(lost);
    }
  }

  /** Whether the call is over: nothing may be begun for it, because nobody will end it. */
  public boolean isClosed() {
    return closed;
  }

  /** Ends the call well once everything was sent. */
  public void complete() {
    completing = true;
    flush();
  }

  /** Ends the call with an error at once; what waits is dropped. */
  public void fail(Throwable error) {
    if (!closed) {
      closed = true;
      waiting.clear();
      call.onError(GrpcErrors.toStatus(error));
    }
  }

  private void flush() {
    while (!closed && !waiting.isEmpty() && call.isReady()) {
      call.onNext(waiting.remove());
    }
    if (!closed && completing && waiting.isEmpty()) {
      closed = true;
      call.onCompleted();
    }
  }

  private void cancelled() {
    closed = true;
    waiting.clear();
    lost.run();
  }
}
