package io.epidote.engine.memory;

import java.nio.ByteBuffer;

/** What a block holds, as a SHA-256 over everything that its bytes depend on. */
public record BlockKey(long a, long b, long c, long d) {
  /** Bytes of a key. */
  public static final int BYTES = 4 * Long.BYTES;

  static BlockKey of(byte[] digest) {
    return read(ByteBuffer.wrap(digest));
  }

  /** Reads what {@link #writeTo} wrote. */
  public static BlockKey read(ByteBuffer bytes) {
    return new BlockKey(bytes.getLong(), bytes.getLong(), bytes.getLong(), bytes.getLong());
  }

  public void writeTo(ByteBuffer bytes) {
    bytes.putLong(a).putLong(b).putLong(c).putLong(d);
  }
}
