package io.epidote.engine.image;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Semaphore;

/**
 * Bounds the memory of pictures that are being decoded, however many are asked for at a time, and
 * keeps some of it for the next picture: a heap grows by arrays of a picture's size before it
 * collects them. Who decodes waits for room, first come first served. Safe for use by several
 * threads.
 */
final class PixelMemory {
  /** What a decoder has of a pixel, and what it is converted to. */
  private static final int BYTES_PER_PIXEL = 8;

  private static final int UNIT_BYTES = 1 << 10;

  /** Of two pictures: itself and what it is resized to. */
  private static final int MAX_KEPT = 6;

  /** How many times larger than what is asked for an array may be. */
  private static final int MAX_WASTE = 4;

  private final int units;
  private final Semaphore free;
  private final List<byte[]> kept = new ArrayList<>();

  /**
   * @param limit bytes; a picture that alone needs more is decoded when no other is
   */
  PixelMemory(long limit) {
    this.units = (int) Math.clamp(limit / UNIT_BYTES, 1, Integer.MAX_VALUE);
    this.free = new Semaphore(units, true);
  }

  /** No room yet. */
  Room open() {
    return new Room();
  }

  private synchronized Optional<byte[]> reuse(int bytes) {
    Optional<byte[]> found =
        kept.stream()
            .filter(array -> array.length >= bytes && array.length / MAX_WASTE <= bytes)
            .findFirst();
    found.ifPresent(array -> kept.removeIf(other -> other == array));
    return found;
  }

  private synchronized void keep(byte[] array) {
    kept.add(array);
    kept.sort(Comparator.comparingInt((byte[] other) -> other.length));
    while (kept.size() > MAX_KEPT || keptBytes() > (long) units * UNIT_BYTES) {
      kept.removeLast();
    }
  }

  private long keptBytes() {
    return kept.stream().mapToLong(array -> array.length).sum();
  }

  /** Room for a picture and what is made of it, until it is closed; for one thread. */
  final class Room implements AutoCloseable {
    private final List<byte[]> arrays = new ArrayList<>();
    private int taken;

    private Room() {}

    /** Waits for room for a picture; once. */
    void await(ImageInfo picture) {
      long bytes = (long) picture.width() * picture.height() * BYTES_PER_PIXEL;
      int needed = (int) Math.clamp(Math.ceilDiv(bytes, UNIT_BYTES), 1, units);
      free.acquireUninterruptibly(needed);
      taken = needed;
    }

    /** Memory of at least so many bytes, the first of them 0, which is the room's. */
    byte[] array(int bytes) {
      byte[] array = reuse(bytes).orElseGet(() -> new byte[bytes]);
      // Not all that draws into a picture draws its edges.
      Arrays.fill(array, 0, bytes, (byte) 0);
      arrays.add(array);
      return array;
    }

    @Override
    public void close() {
      arrays.forEach(PixelMemory.this::keep);
      arrays.clear();
      free.release(taken);
      taken = 0;
    }
  }
}
