package io.epidote.node.transfer;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.CompositeByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.zip.CRC32C;

/** A {@code PullResponse} whose data stay in the producer's blocks until the system has them. */
final class OutgoingChunk {
  /** Whoever keeps the blocks as they are. */
  interface Owner {
    /** The chunk was given to a connection. On its event loop. */
    void sending(Channel connection);

    /**
     * Nothing reads the blocks any more: they were written to the socket, or the stream or the
     * connection is over. Exactly once for each chunk.
     */
    void released(OutgoingChunk chunk);
  }

  /** Smaller pieces are copied into one buffer: the copy costs less than an object for each. */
  private static final int MIN_REFERENCED_PIECE = 16 << 10;

  private static final int MAX_HEADER_BYTES = 32;

  private final Owner owner;
  private final List<ByteBuffer> pieces;
  private final int length;
  private final byte[] header;

  /**
   * @param offset from the start of what travels
   * @param form of the pieces
   * @param pieces parts of blocks, in order, from position to limit
   * @param checksum whether the puller checks
   */
  OutgoingChunk(
      Owner owner, long offset, WireForm form, List<ByteBuffer> pieces, boolean checksum) {
    this.owner = owner;
    this.pieces = pieces;
    this.length = pieces.stream().mapToInt(ByteBuffer::remaining).sum();
    this.header = header(offset, form, checksum);
  }

  /** The message up to its data, in protobuf's form. */
  private byte[] header(long offset, WireForm form, boolean checksum) {
    ByteBuffer buffer = ByteBuffer.allocate(MAX_HEADER_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    buffer.put((byte) ChunkFields.OFFSET);
    ChunkFields.putVarint(buffer, offset);
    if (checksum) {
      CRC32C crc = new CRC32C();
      pieces.forEach(piece -> ChunkFields.addTo(crc, piece));
      buffer.put((byte) ChunkFields.CRC32C);
      buffer.putInt((int) crc.getValue());
    }
    if (form instanceof WireForm.Int8Kv) {
      buffer.put((byte) ChunkFields.FORM);
      ChunkFields.putVarint(buffer, io.epidote.proto.stage.v1.WireForm.WIRE_FORM_INT8_KV_VALUE);
    }
    buffer.put((byte) ChunkFields.DATA);
    ChunkFields.putVarint(buffer, length);
    byte[] bytes = new byte[buffer.position()];
    buffer.flip().get(bytes);
    return bytes;
  }

  /** What the data are. */
  List<ByteBuffer> pieces() {
    return pieces;
  }

  /** Bytes of data. */
  int length() {
    return length;
  }

  /** Bytes of the message. */
  int messageBytes() {
    return header.length + length;
  }

  void done() {
    owner.released(this);
  }

  /**
   * The whole message, whose last release releases this chunk.
   *
   * @param grpcPrefix what gRPC writes before a message
   */
  ByteBuf message(Channel connection, byte[] grpcPrefix) {
    owner.sending(connection);
    ByteBufAllocator allocator = connection.alloc();
    CompositeByteBuf message =
        // As many components as there are: beyond its bound, a composite copies them into one.
        new CompositeByteBuf(allocator, true, Integer.MAX_VALUE) {
          @Override
          protected void deallocate() {
            super.deallocate();
            done();
          }
        };
    message.addComponent(
        true,
        allocator
            .directBuffer(grpcPrefix.length + header.length)
            .writeBytes(grpcPrefix)
            .writeBytes(header));
    if (length / pieces.size() < MIN_REFERENCED_PIECE) {
      ByteBuf copy = allocator.directBuffer(length);
      pieces.forEach(piece -> copy.writeBytes(piece.duplicate()));
      message.addComponent(true, copy);
    } else {
      pieces.forEach(piece -> message.addComponent(true, Unpooled.wrappedBuffer(piece)));
    }
    return message;
  }
}
