package io.epidote.engine.emulated;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;

/**
 * Files that become tiles without being decoded, which takes a profile's {@code picture_ms}. A tile
 * is a few numbers that depend on the file and on its place. Safe for use by several threads.
 */
public final class EmulatedPictures {
  private final double pictureMs;

  public EmulatedPictures(CostProfile profile) {
    this.pictureMs = profile.pictureMs().orElse(0);
  }

  /**
   * Tiles of a file, the caller's.
   *
   * @param count how many it becomes
   */
  public List<FloatBuffer> tiles(ByteBuffer file, int count) {
    long start = System.nanoTime();
    CRC32C digest = new CRC32C();
    digest.update(file);
    int bits = (int) digest.getValue();
    List<FloatBuffer> tiles =
        IntStream.range(0, count).mapToObj(place -> tile(bits, place)).toList();
    StepClock.waitUntil(start + Math.round(pictureMs * 1e6));
    return tiles;
  }

  private static FloatBuffer tile(int bits, int place) {
    return ByteBuffer.allocate(3 * Float.BYTES)
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer()
        .put(0, bits >>> 16)
        .put(1, bits & 0xFFFF)
        .put(2, place);
  }
}
