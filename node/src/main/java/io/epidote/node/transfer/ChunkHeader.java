package io.epidote.node.transfer;

import java.io.IOException;
import java.io.InputStream;
import java.util.OptionalInt;

/**
 * What an arriving {@code PullResponse} says before its data.
 *
 * @param offset where the data belong, from the start of what travels
 * @param form number of the {@code WireForm} of the data
 * @param length bytes of data as announced; as many as the message has left, or it is a lie
 * @param crc32c of the data, where the producer sent it
 */
record ChunkHeader(long offset, int form, long length, OptionalInt crc32c) {
  private static final int MAX_VARINT_BITS = 64;

  /**
   * Reads up to the data and not a byte further.
   *
   * @throws IOException when it is not a PullResponse whose data are its last field
   */
  static ChunkHeader read(InputStream message) throws IOException {
    long offset = 0;
    int form = 0;
    OptionalInt crc32c = OptionalInt.empty();
    while (message.available() > 0) {
      int tag = (int) varint(message);
      if (tag == ChunkFields.OFFSET) {
        offset = varint(message);
      } else if (tag == ChunkFields.CRC32C) {
        crc32c = OptionalInt.of(fixed32(message));
      } else if (tag == ChunkFields.FORM) {
        form = (int) varint(message);
      } else if (tag == ChunkFields.DATA) {
        return new ChunkHeader(offset, form, varint(message), crc32c);
      } else {
        throw new IOException("a field with tag %d stands before the data".formatted(tag));
      }
    }
    return new ChunkHeader(offset, form, 0, crc32c);
  }

  private static long varint(InputStream in) throws IOException {
    long value = 0;
    for (int shift = 0; shift < MAX_VARINT_BITS; shift += 7) {
      int next = octet(in);
      value |= (long) (next & 0x7F) << shift;
      if (next < 0x80) {
        return value;
      }
    }
    throw new IOException("a number has more than 64 bits");
  }

  private static int fixed32(InputStream in) throws IOException {
    return octet(in) | octet(in) << 8 | octet(in) << 16 | octet(in) << 24;
  }

  private static int octet(InputStream in) throws IOException {
    int next = in.read();
    if (next < 0) {
      throw new IOException("the message ends before its data");
    }
    return next;
  }
}
