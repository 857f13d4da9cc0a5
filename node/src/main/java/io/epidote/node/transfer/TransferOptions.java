package io.epidote.node.transfer;

import io.epidote.engine.error.EpidoteException;
import java.util.Optional;

/**
 * How a node pulls.
 *
 * @param chunkBytes bytes of a chunk, {@link #MIN_CHUNK_BYTES} to {@link #MAX_CHUNK_BYTES}
 * @param checksum whether every chunk carries a CRC32C that is checked on arrival
 * @param unixSockets whether nodes of the same machine are reached over a Unix socket, where the
 *     platform has them
 * @param pace of the link into this node where that is emulated; empty: as fast as it is
 */
public record TransferOptions(
    int chunkBytes, boolean checksum, boolean unixSockets, Optional<Pace> pace) {
  public static final int MIN_CHUNK_BYTES = 256 << 10;
  public static final int MAX_CHUNK_BYTES = 4 << 20;
  public static final int DEFAULT_CHUNK_BYTES = 1 << 20;

  /**
   * How fast an emulated link is.
   *
   * @param bytesPerSecond above 0
   * @param latencyNanos from asking to the first byte
   */
  public record Pace(double bytesPerSecond, long latencyNanos) {}

  /** Over links that are real. */
  public TransferOptions(int chunkBytes, boolean checksum, boolean unixSockets) {
    this(chunkBytes, checksum, unixSockets, Optional.empty());
  }

  public TransferOptions {
    if (chunkBytes < MIN_CHUNK_BYTES || chunkBytes > MAX_CHUNK_BYTES) {
      throw new EpidoteException.InvalidRequest(
          "Chunks of %d bytes cannot be pulled; expected %d to %d."
              .formatted(chunkBytes, MIN_CHUNK_BYTES, MAX_CHUNK_BYTES));
    }
  }

  public static TransferOptions defaults() {
    return new TransferOptions(DEFAULT_CHUNK_BYTES, true, true);
  }

  /** What a producer makes of a puller's wish; 0 is none. */
  static int chunkBytes(int wanted) {
    return wanted == 0
        ? DEFAULT_CHUNK_BYTES
        : (int) Math.clamp(Integer.toUnsignedLong(wanted), MIN_CHUNK_BYTES, MAX_CHUNK_BYTES);
  }
}
