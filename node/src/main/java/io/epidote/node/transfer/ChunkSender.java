package io.epidote.node.transfer;

import io.grpc.Drainable;
import io.grpc.KnownLength;
import io.grpc.MethodDescriptor;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufHolder;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Sends blocks without copying them. gRPC's framer takes bytes only from the heap. So the
 * marshaller gives it a <em>slip</em> of a few bytes in place of the message, under the message's
 * true length, and a handler in the connection's pipeline exchanges it for the message itself:
 *
 * <pre>
 * stream(chunk) ──▶ framer ──▶ [5 bytes of gRPC | slip] ──▶ Splicer ──▶ [5 bytes | fields | blocks] ──▶ HTTP/2
 * </pre>
 *
 * <p>Every connection that a server with this marshaller accepts needs the {@link #splicer}. What
 * gRPC counts as queued are slips: whoever sends bounds what is on its way by himself. Thread-safe.
 */
final class ChunkSender implements MethodDescriptor.Marshaller<OutgoingChunk> {
  /** Compression flag and length, before every message. */
  private static final int GRPC_PREFIX_BYTES = 5;

  private static final int SLIP_BYTES = 2 * Long.BYTES;

  /** Nothing else that is sent in a frame of a slip's length begins so. */
  private final long magic = ThreadLocalRandom.current().nextLong();

  private final AtomicLong ids = new AtomicLong();
  private final Map<Long, OutgoingChunk> waiting = new ConcurrentHashMap<>();

  @Override
  public InputStream stream(OutgoingChunk chunk) {
    return new Slip(chunk);
  }

  @Override
  public OutgoingChunk parse(InputStream stream) {
    throw new UnsupportedOperationException("only a puller reads chunks");
  }

  /** Releases the chunks that gRPC has, but no connection yet. */
  void withdraw(OutgoingChunk.Owner owner, Iterable<OutgoingChunk> chunks) {
    for (OutgoingChunk chunk : chunks) {
      if (waiting.values().removeIf(other -> other == chunk)) {
        owner.released(chunk);
      }
    }
  }

  private final class Slip extends InputStream implements KnownLength, Drainable {
    private @Nullable OutgoingChunk chunk;

    Slip(OutgoingChunk chunk) {
      this.chunk = chunk;
    }

    @Override
    public int available() {
      return chunk == null ? 0 : chunk.messageBytes();
    }

    @Override
    public int read() {
      throw new UnsupportedOperationException("a slip is drained, not read");
    }

    @Override
    public int drainTo(OutputStream out) throws IOException {
      OutgoingChunk drained = chunk;
      if (drained == null) {
        return 0;
      }
      chunk = null;
      long id = ids.incrementAndGet();
      waiting.put(id, drained);
      out.write(ByteBuffer.allocate(SLIP_BYTES).putLong(magic).putLong(id).array());
      return drained.messageBytes();
    }

    /** gRPC closes what it was given; what it has not drained by then, it will not. */
    @Override
    public void close() {
      if (chunk != null) {
        chunk.done();
        chunk = null;
      }
    }
  }

  /** A handler for one connection, nearer to the application than HTTP/2. */
  ChannelHandler splicer() {
    return new Splicer();
  }

  private final class Splicer extends ChannelOutboundHandlerAdapter {
    @Override
    public void write(ChannelHandlerContext context, Object message, ChannelPromise promise)
        throws Exception {
      if (!(message instanceof ByteBufHolder frame) || !isSlip(frame.content())) {
        super.write(context, message, promise);
        return;
      }
      ByteBuf slip = frame.content();
      byte[] prefix = new byte[GRPC_PREFIX_BYTES];
      slip.getBytes(slip.readerIndex(), prefix);
      OutgoingChunk chunk =
          waiting.remove(slip.getLong(slip.readerIndex() + GRPC_PREFIX_BYTES + Long.BYTES));
      if (chunk == null) {
        // Withdrawn, because its stream is over.
        frame.release();
        promise.tryFailure(new IOException("the pull is over"));
        return;
      }
      ByteBufHolder whole = frame.replace(chunk.message(context.channel(), prefix));
      frame.release();
      super.write(context, whole, promise);
    }

    private boolean isSlip(ByteBuf frame) {
      return frame.readableBytes() == GRPC_PREFIX_BYTES + SLIP_BYTES
          && frame.getLong(frame.readerIndex() + GRPC_PREFIX_BYTES) == magic;
    }
  }
}
