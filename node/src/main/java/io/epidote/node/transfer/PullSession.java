package io.epidote.node.transfer;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.node.lease.LeaseTable;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.Int8Kv;
import io.epidote.proto.stage.v1.PullRequest;
import io.grpc.stub.ServerCallStreamObserver;
import io.netty.channel.Channel;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One pull, on the producer's side. It hands chunks to the connection as fast as they leave, with
 * at most {@link #AHEAD_BYTES} that have not left. The lock orders the pump, which runs on the
 * connection's event loop, with the lease's end, which can come from any thread.
 *
 * <p>Chunks are the blocks themselves, or quantised copies of them. The lease is pinned until the
 * last of them was released, however the pull ends; a connection that keeps them although the pull
 * is over is closed.
 */
final class PullSession implements OutgoingChunk.Owner {
  /** So much that the socket never runs dry while the next chunk is prepared. */
  private static final int AHEAD_BYTES = 4 << 20;

  /** For a peer that reads, a chunk that was begun leaves much earlier. */
  private static final long LINGER_MILLIS = 1000;

  private final ChunkSender sender;
  private final WireBuffers buffers;
  private final ServerCallStreamObserver<OutgoingChunk> call;
  private final int chunkBytes;
  private final boolean checksum;
  private final Optional<Int8Codec> codec;
  private final ArrayDeque<ByteBuffer> rest = new ArrayDeque<>();
  private final List<OutgoingChunk> inFlight = new ArrayList<>();
  private int inFlightBytes;
  private LeaseTable.@Nullable Pin pin;
  private long offset;

  /** Nothing is sent any more. */
  private boolean over;

  private @Nullable Channel connection;

  /**
   * @param buffers for chunks that are not the blocks themselves
   */
  PullSession(
      ChunkSender sender,
      WireBuffers buffers,
      ServerCallStreamObserver<OutgoingChunk> call,
      PullRequest request) {
    this.sender = sender;
    this.buffers = buffers;
    this.call = call;
    this.chunkBytes = TransferOptions.chunkBytes(request.getChunkBytes());
    this.checksum = !request.getSkipChecksum();
    this.codec = codec(request);
    call.setOnCancelHandler(this::stop);
    call.setOnReadyHandler(this::pump);
  }

  private static Optional<Int8Codec> codec(PullRequest request) {
    if (!request.hasInt8Kv()) {
      return Optional.empty();
    }
    Int8Kv rows = request.getInt8Kv();
    try {
      return Optional.of(
          new Int8Codec(new WireForm.Int8Kv(rows.getKeyWidth(), rows.getValueWidth())));
    } catch (IllegalArgumentException e) {
      throw new EpidoteException.InvalidRequest(
          "Blocks cannot be sent as int8: " + e.getMessage() + ".", e);
    }
  }

  synchronized void start(LeaseTable leases, Handle handle) {
    try {
      LeaseTable.Pin acquired = leases.acquire(handle, this::leaseEnded);
      pin = acquired;
      rest.addAll(acquired.buffers());
      checkForm(handle);
    } catch (EpidoteException e) {
      over = true;
      call.onError(GrpcErrors.toStatus(e));
      unpin();
    }
  }

  private void checkForm(Handle handle) {
    codec.ifPresent(rows -> {
      if (!rest.stream().allMatch(block -> rows.form().fits(block.remaining()))) {
        throw new EpidoteException.InvalidRequest(
            "Handle %d is not on KV blocks with keys of %d and values of %d floats, and cannot be sent as int8."
                .formatted(handle.getId(), rows.form().keyWidth(), rows.form().valueWidth()));
      }
    });
  }

  private synchronized void pump() {
    while (pin != null && !over && call.isReady() && inFlightBytes < AHEAD_BYTES) {
      if (rest.isEmpty()) {
        over = true;
        call.onCompleted();
        unpin();
        return;
      }
      OutgoingChunk chunk = nextChunk();
      inFlight.add(chunk);
      inFlightBytes += chunk.length();
      offset += chunk.length();
      call.onNext(chunk);
    }
  }

  private OutgoingChunk nextChunk() {
    return codec
        .map(this::quantised)
        .orElseGet(() -> new OutgoingChunk(this, offset, WireForm.EXACT, pieces(), checksum));
  }

  /** As many heads as fit a chunk. */
  private OutgoingChunk quantised(Int8Codec rows) {
    int headBytes = rows.form().headWireBytes();
    ByteBuffer chunk = buffers.take(Math.max(chunkBytes, headBytes));
    while (!rest.isEmpty() && chunk.position() + headBytes <= Math.max(chunkBytes, headBytes)) {
      rows.quantise(rest.element(), chunk);
      if (!rest.element().hasRemaining()) {
        rest.remove();
      }
    }
    return new OutgoingChunk(this, offset, rows.form(), List.of(chunk.flip()), checksum);
  }

  private List<ByteBuffer> pieces() {
    List<ByteBuffer> pieces = new ArrayList<>();
    int missing = chunkBytes;
    while (!rest.isEmpty() && missing > 0) {
      ByteBuffer block = rest.element();
      int bytes = Math.min(missing, block.remaining());
      if (bytes == block.remaining()) {
        pieces.add(rest.remove());
      } else {
        pieces.add(block.slice(block.position(), bytes));
        block.position(block.position() + bytes);
      }
      missing -= bytes;
    }
    return pieces;
  }

  @Override
  public synchronized void sending(Channel channel) {
    connection = channel;
  }

  @Override
  public synchronized void released(OutgoingChunk chunk) {
    inFlight.removeIf(other -> other == chunk);
    inFlightBytes -= chunk.length();
    if (codec.isPresent()) {
      chunk.pieces().forEach(buffers::give);
    }
    if (over) {
      unpin();
    } else if (pin != null && connection != null && connection.isActive()) {
      pin.renew();
      // Not at once: the connection is in the middle of a write.
      connection.eventLoop().execute(this::pump);
    }
  }

  private synchronized void leaseEnded() {
    if (!over) {
      call.onError(
          GrpcErrors.toStatus(
              new EpidoteException.Unavailable(
                  "The lease on the handle ended while it was pulled: its request was cancelled, or the pull made no progress.")));
    }
    stop();
  }

  /** Sends nothing more and lets go of the blocks. */
  private synchronized void stop() {
    over = true;
    rest.clear();
    sender.withdraw(this, List.copyOf(inFlight));
    unpin();
    if (pin != null && connection != null) {
      connection.eventLoop().schedule(this::hangUp, LINGER_MILLIS, TimeUnit.MILLISECONDS);
    }
  }

  private synchronized void hangUp() {
    if (pin != null && connection != null) {
      connection.close();
    }
  }

  private void unpin() {
    if (pin != null && inFlight.isEmpty()) {
      pin.close();
      pin = null;
    }
  }
}
