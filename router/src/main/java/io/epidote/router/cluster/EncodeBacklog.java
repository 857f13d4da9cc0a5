package io.epidote.router.cluster;

import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.EncodeLoad;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * What this router knows of a node's encode stage: the tiles that stand before new ones, and those
 * whose media tokens it has. Both are counted here between the node's reports, which set them
 * right: what was evicted is not in the next report, and a node that was started again begins
 * without any. Thread-safe.
 */
final class EncodeBacklog {
  /** Longer than it takes a report to come in that was written after what is counted here. */
  private static final long REPORTED_AFTER_NANOS = TimeUnit.SECONDS.toNanos(2);

  private final Backlog tiles = new Backlog();
  private volatile Set<Long> reported = Set.of();

  /** Whether it keeps tiles at all, which it says with its first report. */
  private volatile boolean caches;

  /** Tags of tiles that this router asked for, and until when they are taken for granted. */
  private final Map<Long, Long> asked = new ConcurrentHashMap<>();

  private volatile EncodeLoad latest = EncodeLoad.getDefaultInstance();

  void report(NodeLoad load) {
    latest = load.getStatus().getEncode();
    tiles.report(latest.getWaitingTiles());
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

  long waitingTiles() {
    return tiles.waiting();
  }

  /** Whether the tile's tokens are there, or asked for. */
  boolean has(long tag) {
    return caches && (asked.containsKey(tag) || reported.contains(tag));
  }

  void ask(long tag) {
    tiles.add(1);
    asked.put(tag, Long.MAX_VALUE / 2 + System.nanoTime());
  }

  void ready(long tag) {
    tiles.remove(1);
    asked.replace(tag, System.nanoTime() + REPORTED_AFTER_NANOS);
  }

  /** The tile will not come: its request has ended. */
  void giveUp(long tag) {
    tiles.remove(1);
    asked.remove(tag);
  }
}
