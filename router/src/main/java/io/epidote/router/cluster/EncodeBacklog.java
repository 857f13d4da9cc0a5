package io.epidote.router.cluster;

import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.EncodeLoad;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * What this router knows of a node's encode stage: the tiles that stand before new ones, and those
 * whose media tokens it has. Both are counted here between the node's reports, which set them
 * right: what was evicted is not in the next report, and a node that was started again begins
 * without any. Thread-safe.
 */
final class EncodeBacklog {
  /** Longer than it takes a report to come in that was written after what is counted here. */
  private static final long REPORTED_AFTER_NANOS = TimeUnit.SECONDS.toNanos(2);

  /** Tiles that this router has asked for and not been told of. */
  private final AtomicInteger own = new AtomicInteger();

  /** Tiles that others have, by the latest report. */
  private volatile int others;

  private volatile Set<Long> reported = Set.of();

  /** Whether it keeps tiles at all, which it says with its first report. */
  private volatile boolean caches;

  /** Tags of tiles that this router asked for, and until when they are taken for granted. */
  private final Map<Long, Long> asked = new ConcurrentHashMap<>();

  private volatile EncodeLoad latest = EncodeLoad.getDefaultInstance();

  void report(NodeLoad load) {
    latest = load.getStatus().getEncode();
    others = Math.max(0, latest.getWaitingTiles() - own.get());
    if (load.hasMediaCache()) {
      caches = true;
      reported = Set.copyOf(load.getMediaCache().getTilesList());
    }
    long now = System.nanoTime();
    asked.values().removeIf(until -> until - now < 0);
  }

  EncodeLoad latest() {
    return latest;
  }

  int waitingTiles() {
    return own.get() + others;
  }

  /** Whether the tile's tokens are there, or asked for. */
  boolean has(long tag) {
    return caches && (asked.containsKey(tag) || reported.contains(tag));
  }

  void ask(long tag) {
    own.incrementAndGet();
    asked.put(tag, Long.MAX_VALUE / 2 + System.nanoTime());
  }

  void ready(long tag) {
    own.decrementAndGet();
    asked.replace(tag, System.nanoTime() + REPORTED_AFTER_NANOS);
  }

  /** The tile will not come: its request has ended. */
  void giveUp(long tag) {
    own.decrementAndGet();
    asked.remove(tag);
  }
}
