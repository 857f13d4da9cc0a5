package io.epidote.node;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A call that may be ended by another thread than the one that answers it, which need not know:
 * what it sends afterwards is dropped.
 */
final class GuardedCall<Q, R> extends SimpleForwardingServerCall<Q, R> {
  private final Set<GuardedCall<?, ?>> open;
  private boolean over;
  private volatile ServerCall.@Nullable Listener<Q> listener;

  /**
   * @param open from which the call goes when it is over
   */
  GuardedCall(ServerCall<Q, R> call, Set<GuardedCall<?, ?>> open) {
    super(call);
    this.open = open;
  }

  ServerCall.Listener<Q> start(ServerCallHandler<Q, R> next, Metadata headers) {
    ServerCall.Listener<Q> started = next.startCall(this, headers);
    listener = started;
    return new SimpleForwardingServerCallListener<>(started) {
      @Override
      public void onCancel() {
        open.remove(GuardedCall.this);
        super.onCancel();
      }

      @Override
      public void onComplete() {
        open.remove(GuardedCall.this);
        super.onComplete();
      }
    };
  }

  @Override
  public synchronized void sendHeaders(Metadata headers) {
    if (!over) {
      super.sendHeaders(headers);
    }
  }

  @Override
  public synchronized void sendMessage(R message) {
    if (!over) {
      super.sendMessage(message);
    }
  }

  @Override
  public synchronized void close(Status status, Metadata trailers) {
    if (!over) {
      over = true;
      super.close(status, trailers);
    }
  }

  /** Ends the call, and tells whoever answers it that the caller is gone. Any thread. */
  void end(EpidoteException reason) {
    StatusRuntimeException status = GrpcErrors.toStatus(reason);
    Metadata trailers = status.getTrailers();
    close(status.getStatus(), trailers == null ? new Metadata() : trailers);
    open.remove(this);
    ServerCall.Listener<Q> told = listener;
    if (told != null) {
      told.onCancel();
    }
  }
}
