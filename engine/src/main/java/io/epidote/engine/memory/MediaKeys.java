package io.epidote.engine.memory;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;

/**
 * Names for the media tokens of a tile. They depend on the media item's bytes, on which of its
 * tiles it is, and on what makes tokens of it: preprocessing, encoder and precision.
 */
public final class MediaKeys {
  /** Bytes of an item's digest. */
  public static final int DIGEST_BYTES = 32;

  private final byte[] encoder;

  /**
   * @param encoder what tells this preprocessing and encoder from others: checkpoint and precision
   */
  public MediaKeys(String encoder) {
    this.encoder = encoder.getBytes(StandardCharsets.UTF_8);
  }

  /**
   * Everything that a tile's media tokens depend on. Safe for use by several threads.
   *
   * @param item the SHA-256 of the media item's bytes
   * @param tile place among the item's tiles
   */
  public BlockKey key(byte[] item, int tile) {
    MessageDigest sha256 = KeyChain.sha256();
    sha256.update(item);
    sha256.update(ByteBuffer.allocate(Integer.BYTES).putInt(tile).flip());
    sha256.update(encoder);
    return BlockKey.of(sha256.digest());
  }

  /**
   * A short name of a tile within a cluster, whose nodes all serve one checkpoint: for telling
   * which node may have it, not for finding bytes.
   */
  public static long tag(byte[] item, int tile) {
    return ByteBuffer.wrap(item).getLong() + tile * 0x9E3779B97F4A7C15L;
  }
}
