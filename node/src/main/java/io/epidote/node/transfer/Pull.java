package io.epidote.node.transfer;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.Int8Kv;
import io.epidote.proto.stage.v1.PullRequest;
import io.epidote.proto.stage.v1.PullResponse;
import io.epidote.proto.stage.v1.TransferServiceGrpc;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.HasByteBuffer;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ClientResponseObserver;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
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
  private static final int COPIED_BYTES = 64 << 10;
  private static final byte[] NO_BYTES = {};

  private final Handle handle;
  private final List<ByteBuffer> destinations;
  private final long stallNanos;
  private final ScheduledExecutorService timer;
  private final Consumer<PullEnd> ended;
  private final long startedAt = System.nanoTime();
  private volatile long progressAt = startedAt;
  private final WireForm form;
  private final long expected;

  /** Of the form that is not exact: where a head is complete before it is written. */
  private final Optional<Int8Codec> codec;

  private final ByteBuffer head;
  private final TransferOptions options;
  private final Deque<Channel> routes;
  private long received;
  private int filling;
  private @Nullable PullEnd verdict;
  private @Nullable ClientCallStreamObserver<PullRequest> call;
  private @Nullable Future<?> watch;

  /**
   * @param routes connections to the producer, tried in order until one of them can be used
   */
  Pull(
      Handle handle,
      List<ByteBuffer> destinations,
      WireForm form,
      TransferOptions options,
      List<Channel> routes,
      Duration stall,
      ScheduledExecutorService timer,
      Consumer<PullEnd> ended) {
    this.handle = requireNonNull(handle, "handle is null");
    this.destinations = destinations.stream().map(ByteBuffer::duplicate).toList();
    this.form = form;
    this.expected = form.wireBytes(handle.getBytes());
    this.codec =
        form instanceof WireForm.Int8Kv rows ? Optional.of(new Int8Codec(rows)) : Optional.empty();
    this.head =
        ByteBuffer.allocate(form instanceof WireForm.Int8Kv rows ? rows.headWireBytes() : 0);
    this.options = options;
    this.routes = new ArrayDeque<>(routes);
    this.stallNanos = stall.toNanos();
    this.timer = timer;
    this.ended = ended;
  }

  void start() {
    long room = destinations.stream().mapToLong(ByteBuffer::remaining).sum();
    if (room != handle.getBytes()) {
      ended.accept(
          new PullEnd.Failed(
              new EpidoteException.InvalidRequest(
                  "Handle %d of node %s announces %d bytes, but %d were expected."
                      .formatted(handle.getId(), handle.getNodeId(), handle.getBytes(), room))));
      return;
    }
    if (!destinations.stream().allMatch(part -> form.fits(part.remaining()))) {
      ended.accept(
          new PullEnd.Failed(
              new EpidoteException.InvalidRequest(
                  "Handle %d of node %s is not on blocks that can travel as %s."
                      .formatted(handle.getId(), handle.getNodeId(), form))));
      return;
    }
    long check = Math.max(1, stallNanos / 4);
    synchronized (this) {
      watch =
          timer.scheduleWithFixedDelay(this::failWhenStalled, check, check, TimeUnit.NANOSECONDS);
    }
    call(routes.remove());
  }

  private void call(Channel route) {
    PullRequest.Builder request =
        PullRequest.newBuilder()
            .setHandle(handle)
            .setChunkBytes(options.chunkBytes())
            .setSkipChecksum(!options.checksum());
    if (form instanceof WireForm.Int8Kv rows) {
      request.setInt8Kv(
          Int8Kv.newBuilder().setKeyWidth(rows.keyWidth()).setValueWidth(rows.valueWidth()));
    }
    ClientCalls.asyncServerStreamingCall(
        route.newCall(method(), CallOptions.DEFAULT), request.build(), new Receiver());
  }

  /** The contract's method, but its messages are read into this pull's destinations. */
  MethodDescriptor<PullRequest, Chunk> method() {
    MethodDescriptor<PullRequest, PullResponse> contract = TransferServiceGrpc.getPullMethod();
    return contract.toBuilder(contract.getRequestMarshaller(), new Reader()).build();
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

  /**
   * A producer whose lease ends takes back chunks that wait to be sent, and the stream is reset
   * when their turn comes, which may be before its message goes out.
   */
  private static String why(Throwable error) {
    return Status.fromThrowable(error).getCode() == Status.Code.CANCELLED
            && !GrpcErrors.wasTold(error)
        ? "the lease on the handle ended while it was pulled"
        : String.valueOf(GrpcErrors.fromStatus(error).getMessage());
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

  /**
   * A message that was read.
   *
   * @param fault what was wrong with it, or null
   */
  record Chunk(@Nullable PullEnd fault) {
    static final Chunk GOOD = new Chunk(null);
  }

  /** Takes messages where they arrive, on the connection's thread, in the network's buffers. */
  private final class Reader implements MethodDescriptor.Marshaller<Chunk> {
    @Override
    public InputStream stream(Chunk chunk) {
      throw new UnsupportedOperationException("only a producer sends chunks");
    }

    @Override
    public Chunk parse(InputStream message) {
      try {
        PullEnd fault = isOver() ? null : accept(message);
        return fault == null ? Chunk.GOOD : new Chunk(fault);
      } catch (IOException e) {
        return new Chunk(failed("a chunk is not readable: " + e.getMessage()));
      }
    }
  }

  private synchronized boolean isOver() {
    return verdict != null;
  }

  /**
   * Checks a chunk and writes it; null when it is good. Place and length are checked before a byte
   * is written, the checksum while the bytes are written.
   */
  private @Nullable PullEnd accept(InputStream message) throws IOException {
    ChunkHeader header = ChunkHeader.read(message);
    if (codec.isPresent()
        != (header.form() == io.epidote.proto.stage.v1.WireForm.WIRE_FORM_INT8_KV_VALUE)) {
      return failed(
          "a chunk came that is %s, which was not asked for: does the producer know --kv-wire int8? Run the same version everywhere, or pull exact blocks"
              .formatted(codec.isPresent() ? "not int8" : "not exact"));
    }
    if (header.offset() != received) {
      return failed("a chunk came for offset %d".formatted(header.offset()));
    }
    if (header.length() <= 0 || header.length() > expected - received) {
      return failed(
          "a chunk of %d bytes came where 1 to %d fit"
              .formatted(header.length(), expected - received));
    }
    if (header.length() != message.available()) {
      return failed(
          "a chunk came with %d bytes that announces %d"
              .formatted(message.available(), header.length()));
    }
    if (options.checksum() && header.crc32c().isEmpty()) {
      return failed("a chunk came without its checksum");
    }
    int length = (int) header.length();
    CRC32C crc = new CRC32C();
    write(message, length, options.checksum() ? crc : null);
    if (options.checksum() && (int) crc.getValue() != header.crc32c().getAsInt()) {
      return failed(
          "the checksum of %d bytes is %08x where %08x was announced"
              .formatted(length, (int) crc.getValue(), header.crc32c().getAsInt()));
    }
    received += length;
    progressAt = System.nanoTime();
    return null;
  }

  private void write(InputStream message, int length, @Nullable CRC32C crc) throws IOException {
    // Rarely, what Netty has put together cannot be seen as buffers; then it is copied once more.
    HasByteBuffer network =
        message instanceof HasByteBuffer buffers && buffers.byteBufferSupported() ? buffers : null;
    byte[] copy = network == null ? new byte[Math.min(length, COPIED_BYTES)] : NO_BYTES;
    int missing = length;
    while (missing > 0) {
      ByteBuffer source =
          network == null
              ? ByteBuffer.wrap(
                  copy, 0, message.readNBytes(copy, 0, Math.min(missing, copy.length)))
              : network.getByteBuffer();
      if (source == null || !source.hasRemaining()) {
        throw new IOException("it ends before its data");
      }
      int bytes = Math.min(missing, source.remaining());
      source.limit(source.position() + bytes);
      if (crc != null) {
        ChunkFields.addTo(crc, source);
      }
      write(source);
      if (network != null) {
        message.skipNBytes(bytes);
      }
      missing -= bytes;
    }
  }

  private void write(ByteBuffer source) {
    if (codec.isPresent()) {
      dequantise(codec.get(), source);
      return;
    }
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

  private void dequantise(Int8Codec rows, ByteBuffer source) {
    while (source.hasRemaining()) {
      int bytes = Math.min(source.remaining(), head.remaining());
      head.put(head.position(), source, source.position(), bytes);
      head.position(head.position() + bytes);
      source.position(source.position() + bytes);
      if (!head.hasRemaining()) {
        ByteBuffer destination = destinations.get(filling);
        rows.dequantise(head.flip(), destination);
        head.clear();
        if (!destination.hasRemaining()) {
          filling++;
        }
      }
    }
  }

  private final class Receiver implements ClientResponseObserver<PullRequest, Chunk> {
    @Override
    public void beforeStart(ClientCallStreamObserver<PullRequest> requests) {
      synchronized (Pull.this) {
        call = requests;
      }
    }

    @Override
    public void onNext(Chunk chunk) {
      if (chunk.fault() != null) {
        conclude(chunk.fault());
      }
    }

    @Override
    public void onError(Throwable error) {
      boolean unreachable = Status.fromThrowable(error).getCode() == Status.Code.UNAVAILABLE;
      if (unreachable && received == 0 && !isOver() && !routes.isEmpty()) {
        call(routes.remove());
        return;
      }
      close(failed(why(error)));
    }

    @Override
    public void onCompleted() {
      close(
          received == expected
              ? new PullEnd.Pulled(handle.getBytes(), received, System.nanoTime() - startedAt)
              : failed("the stream ended early"));
    }
  }
}
