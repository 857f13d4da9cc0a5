package io.epidote.router.cluster;

import java.util.concurrent.atomic.AtomicLong;

/**
 * Work that stands before a new request at one stage of a node. What this router asked for is
 * counted here; of what others asked for, the latest report tells. Thread-safe.
 */
final class Backlog {
  private final AtomicLong own = new AtomicLong();
  private volatile long others;

  /**
   * @param all that waits there, this router's work included
   */
  void report(long all) {
    others = Math.max(0, all - own.get());
  }

  void add(long units) {
    own.addAndGet(units);
  }

  void remove(long units) {
    own.addAndGet(-units);
  }

  long waiting() {
    return own.get() + others;
  }
}
