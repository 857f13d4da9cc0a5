package io.epidote.engine.image;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Memory of pixels that is used again: of tiles, and of the pictures that they are cut from. Direct
 * buffers are freed by the garbage collector, which does not see how large they are: a node that
 * made new ones would grow with every picture. Safe for use by several threads.
 */
public final class TileBuffers {
  private static final int MAX_FREE = 64;

  private final ConcurrentLinkedQueue<FloatBuffer> free = new ConcurrentLinkedQueue<>();
  private final AtomicInteger count = new AtomicInteger();
  private final PixelMemory pictures;

  /** For any number of pictures at a time. */
  public TileBuffers() {
    this(Long.MAX_VALUE);
  }

  /**
   * @param pictureBytes memory of pictures that are being decoded; more have to wait. One that
   *     needs more is decoded when no other is
   */
  public TileBuffers(long pictureBytes) {
    this.pictures = new PixelMemory(pictureBytes);
  }

  /** Where pictures are decoded. */
  PixelMemory pictures() {
    return pictures;
  }

  /** A direct buffer in native order, from position 0, with any content. */
  FloatBuffer take(int floats) {
    FloatBuffer used = free.poll();
    if (used != null) {
      count.decrementAndGet();
      if (used.capacity() == floats) {
        return used.clear();
      }
    }
    return ByteBuffer.allocateDirect(floats * Float.BYTES)
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer();
  }

  /** Takes a tile back that was made with these buffers; nobody may read it any more. */
  public void give(FloatBuffer tile) {
    if (count.incrementAndGet() <= MAX_FREE) {
      free.add(tile);
    } else {
      count.decrementAndGet();
    }
  }
}
