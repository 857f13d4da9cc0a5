package io.epidote.engine.memory;

import java.nio.ByteBuffer;

/** What a block holds, as a SHA-256 over everything that its bytes depend on. */
public record BlockKey(long a, long b, long c, long d) {
  static BlockKey of(byte[] digest) {
    ByteBuffer bytes = ByteBuffer.wrap(digest);
    return new BlockKey(bytes.getLong(), bytes.getLong(), bytes.getLong(), bytes.getLong());
  }

  void writeTo(ByteBuffer bytes) {
    bytes.putLong(a).putLong(b).putLong(c).putLong(d);
  }
}
