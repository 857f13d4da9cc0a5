package io.epidote.node.transfer;

import static java.util.Objects.requireNonNull;

import com.google.protobuf.ByteString;
import com.google.protobuf.UnsafeByteOperations;
import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.node.lease.LeaseTable;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.PullRequest;
import io.epidote.proto.stage.v1.PullResponse;
import io.epidote.proto.stage.v1.ReleaseRequest;
import io.epidote.proto.stage.v1.ReleaseResponse;
import io.epidote.proto.stage.v1.RenewRequest;
import io.epidote.proto.stage.v1.RenewResponse;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/** Gives other nodes the bytes behind this node's handles. */
public final class TransferServer extends TransferServiceGrpc.TransferServiceImplBase {
  static final int CHUNK_BYTES = 1 << 20;

  private final LeaseTable leases;

  public TransferServer(LeaseTable leases) {
    this.leases = requireNonNull(leases, "leases is null");
  }

  @Override
  public void pull(PullRequest request, StreamObserver<PullResponse> observer) {
    PullSession session = new PullSession((ServerCallStreamObserver<PullResponse>) observer);
    session.start(request.getHandle());
  }

  @Override
  public void release(ReleaseRequest request, StreamObserver<ReleaseResponse> observer) {
    int released = 0;
    for (Handle handle : request.getHandlesList()) {
      released += leases.release(handle) ? 1 : 0;
    }
    observer.onNext(ReleaseResponse.newBuilder().setReleased(released).build());
    observer.onCompleted();
  }

  @Override
  public void renew(RenewRequest request, StreamObserver<RenewResponse> observer) {
    RenewResponse.Builder response = RenewResponse.newBuilder();
    for (Handle handle : request.getHandlesList()) {
      if (!leases.renew(handle)) {
        response.addLost(handle);
      }
    }
    observer.onNext(response.build());
    observer.onCompleted();
  }

  /**
   * One pull. It writes as fast as the peer reads, at most one chunk ahead of flow control. The
   * lock orders the pump, which runs on the call's thread, with the lease's end, which can come
   * from any.
   *
   * <p>Chunks wrap the blocks without a copy. That is safe because the protobuf marshaller copies
   * them to the wire's buffers inside onNext, and the pin is closed only where no onNext can
   * follow.
   */
  private final class PullSession {
    private final ServerCallStreamObserver<PullResponse> call;
    private final ArrayDeque<ByteBuffer> rest = new ArrayDeque<>();
    private LeaseTable.@Nullable Pin pin;
    private long offset;

    PullSession(ServerCallStreamObserver<PullResponse> call) {
      this.call = call;
      call.setOnCancelHandler(this::stop);
      call.setOnReadyHandler(this::pump);
    }

    synchronized void start(Handle handle) {
      try {
        LeaseTable.Pin acquired = leases.acquire(handle, this::leaseEnded);
        rest.addAll(acquired.buffers());
        pin = acquired;
      } catch (EpidoteException e) {
        call.onError(GrpcErrors.toStatus(e));
      }
    }

    private synchronized void pump() {
      while (pin != null && call.isReady()) {
        if (rest.isEmpty()) {
          call.onCompleted();
          stop();
          return;
        }
        call.onNext(nextChunk());
        pin.renew();
      }
    }

    private PullResponse nextChunk() {
      CRC32C crc = new CRC32C();
      ByteString data = ByteString.EMPTY;
      while (!rest.isEmpty() && data.size() < CHUNK_BYTES) {
        ByteBuffer block = rest.element();
        int bytes = Math.min(CHUNK_BYTES - data.size(), block.remaining());
        ByteBuffer piece = block.slice(block.position(), bytes);
        crc.update(piece.duplicate());
        data = data.concat(UnsafeByteOperations.unsafeWrap(piece));
        block.position(block.position() + bytes);
        if (!block.hasRemaining()) {
          rest.remove();
        }
      }
      PullResponse chunk =
          PullResponse.newBuilder()
              .setOffset(offset)
              .setCrc32C((int) crc.getValue())
              .setData(data)
              .build();
      offset += data.size();
      return chunk;
    }

    private synchronized void leaseEnded() {
      if (pin != null) {
        call.onError(
            GrpcErrors.toStatus(
                new EpidoteException.Unavailable(
                    "The lease on the handle ended while it was pulled: its request was cancelled, or the pull made no progress.")));
        stop();
      }
    }

    private synchronized void stop() {
      if (pin != null) {
        pin.close();
        pin = null;
        rest.clear();
      }
    }
  }
}
