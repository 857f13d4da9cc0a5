package io.epidote.node.transfer;

import java.nio.ByteBuffer;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;

/** Native memory of chunks that are not the blocks themselves, used again. Thread-safe. */
final class WireBuffers {
  private static final int MAX_FREE = 8;

  private final ConcurrentLinkedQueue<ByteBuffer> free = new ConcurrentLinkedQueue<>();
  private final AtomicInteger count = new AtomicInteger();

  /** At least so many bytes, from position 0, with any content. */
  ByteBuffer take(int bytes) {
    ByteBuffer used = free.poll();
    if (used != null) {
      count.decrementAndGet();
      if (used.capacity() >= bytes) {
        return used.clear();
      }
    }
    return ByteBuffer.allocateDirect(bytes);
  }

  /** Takes one back that nobody reads any more. */
  void give(ByteBuffer buffer) {
    if (count.incrementAndGet() <= MAX_FREE) {
      free.add(buffer);
    } else {
      count.decrementAndGet();
    }
  }
}
