package io.epidote.node.transfer;

import com.google.protobuf.WireFormat;
import io.epidote.proto.stage.v1.PullResponse;
import java.nio.ByteBuffer;
import java.util.zip.Checksum;

/** The fields of {@code PullResponse} as protobuf writes them: each a tag, then its value. */
final class ChunkFields {
  static final int OFFSET = tag(PullResponse.OFFSET_FIELD_NUMBER, WireFormat.WIRETYPE_VARINT);
  static final int CRC32C = tag(PullResponse.CRC32C_FIELD_NUMBER, WireFormat.WIRETYPE_FIXED32);
  static final int FORM = tag(PullResponse.FORM_FIELD_NUMBER, WireFormat.WIRETYPE_VARINT);
  static final int DATA = tag(PullResponse.DATA_FIELD_NUMBER, WireFormat.WIRETYPE_LENGTH_DELIMITED);

  private static final int TAG_TYPE_BITS = 3;

  private ChunkFields() {}

  private static int tag(int field, int wireType) {
    return field << TAG_TYPE_BITS | wireType;
  }

  static void putVarint(ByteBuffer out, long value) {
    long rest = value;
    while ((rest & ~0x7FL) != 0) {
      out.put((byte) (rest & 0x7F | 0x80));
      rest >>>= 7;
    }
    out.put((byte) rest);
  }

  /** Adds a buffer's bytes to a checksum and leaves the buffer as it was; no view is allocated. */
  static void addTo(Checksum checksum, ByteBuffer bytes) {
    int position = bytes.position();
    checksum.update(bytes);
    bytes.position(position);
  }
}
