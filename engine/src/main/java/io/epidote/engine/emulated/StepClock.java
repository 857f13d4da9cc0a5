package io.epidote.engine.emulated;

import java.util.concurrent.locks.LockSupport;

/** Lets a step take its time, without a core: late by what the system's timer is, some 0.1 ms. */
final class StepClock {
  private StepClock() {}

  /**
   * Waits until a step that began at {@code startNanos} has taken {@code ms}; a thread that is
   * interrupted waits no longer.
   */
  static void waitUntil(long startNanos, double ms) {
    long end = startNanos + Math.round(ms * 1e6);
    for (long left = end - System.nanoTime();
        left > 0 && !Thread.currentThread().isInterrupted();
        left = end - System.nanoTime()) {
      LockSupport.parkNanos(left);
    }
  }
}
