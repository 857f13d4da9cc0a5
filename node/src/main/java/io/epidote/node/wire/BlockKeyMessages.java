package io.epidote.node.wire;

import com.google.protobuf.ByteString;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockKey;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** Keys of KV blocks on the wire, one after the other. */
public final class BlockKeyMessages {
  private BlockKeyMessages() {}

  public static ByteString write(List<BlockKey> keys) {
    ByteBuffer bytes = ByteBuffer.allocate(keys.size() * BlockKey.BYTES);
    keys.forEach(key -> key.writeTo(bytes));
    return ByteString.copyFrom(bytes.flip());
  }

  /**
   * @param most keys that there may be
   * @throws EpidoteException.InvalidRequest when there are more, or part of one
   */
  public static List<BlockKey> read(ByteString message, int most) {
    if (message.size() % BlockKey.BYTES != 0 || message.size() / BlockKey.BYTES > most) {
      throw new EpidoteException.InvalidRequest(
          "Keys of KV blocks came in %d bytes; expected at most %d of %d bytes each."
              .formatted(message.size(), most, BlockKey.BYTES));
    }
    ByteBuffer bytes = message.asReadOnlyByteBuffer();
    List<BlockKey> keys = new ArrayList<>();
    while (bytes.hasRemaining()) {
      keys.add(BlockKey.read(bytes));
    }
    return keys;
  }
}
