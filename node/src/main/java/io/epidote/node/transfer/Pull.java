package io.epidote.node.transfer;

import static java.util.Objects.requireNonNull;

import com.google.protobuf.ByteString;
import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.PullRequest;
import io.epidote.proto.stage.v1.PullResponse;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * One pull on its way.
 *
 * <p>It ends where gRPC closes the call and nowhere else: a fault that is seen in a message, a
 * stall and a cancel only cancel the call, and the close that follows is the proof that no message
 * is being written any more.
 */
public final class Pull {
  private final Handle handle;
  private final List<ByteBuffer> destinations;
  private final long stallNanos;
  private final ScheduledExecutorService timer;
  private final Consumer<PullEnd> ended;
  private final long startedAt = System.nanoTime();
  private volatile long progressAt = startedAt;
  private long received;
  private int filling;
  private @Nullable PullEnd verdict;
  private @Nullable ClientCallStreamObserver<PullRequest> call;
  private @Nullable Future<?> watch;

  Pull(
      Handle handle,
      List<ByteBuffer> destinations,
      Duration stall,
      ScheduledExecutorService timer,
      Consumer<PullEnd> ended) {
    this.handle = requireNonNull(handle, "handle is null");
    this.destinations = destinations.stream().map(ByteBuffer::duplicate).toList();
    this.stallNanos = stall.toNanos();
    this.timer = timer;
    this.ended = ended;
  }

  void start(TransferServiceGrpc.TransferServiceStub peer) {
    long room = destinations.stream().mapToLong(ByteBuffer::remaining).sum();
    if (room != handle.getBytes()) {
      ended.accept(
          new PullEnd.Failed(
              new EpidoteException.InvalidRequest(
                  "Handle %d of node %s announces %d bytes, but %d were expected."
                      .formatted(handle.getId(), handle.getNodeId(), handle.getBytes(), room))));
      return;
    }
    long check = Math.max(1, stallNanos / 4);
    synchronized (this) {
      watch =
          timer.scheduleWithFixedDelay(this::failWhenStalled, check, check, TimeUnit.NANOSECONDS);
    }
    peer.pull(PullRequest.newBuilder().setHandle(handle).build(), new Receiver());
  }

  /** Gives up. The destinations are free only when the end was reported. */
  public void cancel() {
    conclude(new PullEnd.Cancelled());
  }

  private void failWhenStalled() {
    if (System.nanoTime() - progressAt >= stallNanos) {
      conclude(
          failed(
              "sent nothing for %d ms: the node is gone or overloaded"
                  .formatted(TimeUnit.NANOSECONDS.toMillis(stallNanos))));
    }
  }

  /** The first verdict stands; the call is ended, and {@link #close} reports. */
  private void conclude(PullEnd end) {
    ClientCallStreamObserver<PullRequest> running;
    synchronized (this) {
      if (verdict != null) {
        return;
      }
      verdict = end;
      running = call;
    }
    if (running != null) {
      running.cancel("the puller gave up", null);
    }
  }

  private void close(PullEnd fallback) {
    PullEnd end;
    synchronized (this) {
      end = verdict == null ? fallback : verdict;
      verdict = end;
      if (watch != null) {
        watch.cancel(false);
      }
    }
    ended.accept(end);
  }

  private PullEnd.Failed failed(String what) {
    return new PullEnd.Failed(
        new EpidoteException.Unavailable(
            "Pulling handle %d (%d bytes) from node %s at %s failed after %d bytes: %s."
                .formatted(
                    handle.getId(),
                    handle.getBytes(),
                    handle.getNodeId(),
                    handle.getAddress(),
                    received,
                    what)));
  }

  /** Checks a chunk and writes it; null when it is good. Nothing is written of a bad one. */
  private @Nullable PullEnd accept(PullResponse chunk) {
    ByteString data = chunk.getData();
    if (chunk.getOffset() != received) {
      return failed("a chunk came for offset %d".formatted(chunk.getOffset()));
    }
    if (data.isEmpty() || data.size() > handle.getBytes() - received) {
      return failed(
          "a chunk of %d bytes came where 1 to %d fit"
              .formatted(data.size(), handle.getBytes() - received));
    }
    CRC32C crc = new CRC32C();
    data.asReadOnlyByteBufferList().forEach(crc::update);
    if ((int) crc.getValue() != chunk.getCrc32C()) {
      return failed(
          "the checksum of %d bytes is %08x where %08x was announced"
              .formatted(data.size(), (int) crc.getValue(), chunk.getCrc32C()));
    }
    for (ByteBuffer source : data.asReadOnlyByteBufferList()) {
      write(source);
    }
    received += data.size();
    progressAt = System.nanoTime();
    return null;
  }

  private void write(ByteBuffer source) {
    while (source.hasRemaining()) {
      ByteBuffer destination = destinations.get(filling);
      int bytes = Math.min(source.remaining(), destination.remaining());
      destination.put(destination.position(), source, source.position(), bytes);
      destination.position(destination.position() + bytes);
      source.position(source.position() + bytes);
      if (!destination.hasRemaining()) {
        filling++;
      }
    }
  }

  private final class Receiver implements ClientResponseObserver<PullRequest, PullResponse> {
    @Override
    public void beforeStart(ClientCallStreamObserver<PullRequest> requests) {
      synchronized (Pull.this) {
        call = requests;
      }
    }

    @Override
    public void onNext(PullResponse chunk) {
      synchronized (Pull.this) {
        if (verdict != null) {
          return;
        }
      }
      PullEnd fault = accept(chunk);
      if (fault != null) {
        conclude(fault);
      }
    }

    @Override
    public void onError(Throwable error) {
      close(failed(GrpcErrors.fromStatus(error).getMessage() + ""));
    }

    @Override
    public void onCompleted() {
      close(
          received == handle.getBytes()
              ? new PullEnd.Pulled(received, System.nanoTime() - startedAt)
              : failed("the stream ended early"));
    }
  }
}
