package io.epidote.engine.memory;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;

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

  /**
   * The key of a block that was made of this key's block and is not the same.
   *
   * @param name of what was done to it
   */
  public BlockKey variant(String name) {
    MessageDigest sha256 = KeyChain.sha256();
    ByteBuffer key = ByteBuffer.allocate(BYTES);
    writeTo(key);
    sha256.update(key.flip());
    return of(sha256.digest(name.getBytes(StandardCharsets.UTF_8)));
  }

  public void writeTo(ByteBuffer bytes) {
    bytes.putLong(a).putLong(b).putLong(c).putLong(d);
  }
}
