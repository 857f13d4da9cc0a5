package io.epidote.router.request;

import java.util.concurrent.atomic.AtomicLong;

/** Bounds the bytes of all requests that are being received or answered. Thread-safe. */
public final class ByteBudget {
  private final long limit;
  private final AtomicLong used = new AtomicLong();

  public ByteBudget(long limit) {
    this.limit = limit;
  }

  /** Takes bytes, or none and returns false when that would be more than the limit. */
  public boolean take(long bytes) {
    if (used.addAndGet(bytes) <= limit) {
      return true;
    }
    used.addAndGet(-bytes);
    return false;
  }

  public void giveBack(long bytes) {
    used.addAndGet(-bytes);
  }

  public long used() {
    return used.get();
  }
}
