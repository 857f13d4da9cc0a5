package io.epidote.engine.emulated;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.model.Interlude;
import java.util.concurrent.locks.LockSupport;

/**
 * Lets steps of one device take their time, without a core. A step that begins within a twentieth
 * of its time after the last one's end is taken to have followed it at once: what the host does
 * between steps, and a timer that is late, then does not add up. Belongs to one thread.
 */
final class StepClock {
  /** Of a step's time: what is put right is never more than the error that is allowed. */
  private static final double AT_ONCE = 0.05;

  static final Interlude NOTHING =
      due -> {
        waitUntil(due);
        return 0;
      };

  private final TimingAudit audit;

  /** When the last step was over by its profile. */
  private long lastDue = System.nanoTime();

  StepClock(TimingAudit audit) {
    this.audit = audit;
  }

  /** Waits until a step that began at {@code startNanos} has taken {@code ms}. */
  void finish(CostStage stage, long startNanos, double ms) {
    finish(stage, startNanos, ms, NOTHING);
  }

  /**
   * The same for a step that others may interrupt, by which it takes longer: as if they ran on a
   * stream of higher priority, with none of the device left for both.
   */
  void finish(CostStage stage, long startNanos, double ms, Interlude others) {
    long nanos = Math.round(ms * 1e6);
    long gap = Math.max(0, startNanos - lastDue);
    boolean atOnce = gap <= nanos * AT_ONCE;
    long due = (atOnce ? lastDue : startNanos) + nanos;
    long most = due + EmulatedModels.MOST_STRETCHED * nanos;
    for (long more = 1; more > 0 && due < most; due += more) {
      more = others.await(due);
    }
    waitUntil(due);
    long extra = System.nanoTime() - due;
    // A longer gap is idle time, or the host was too slow: counted against the emulation.
    boolean busy = !atOnce && gap < nanos;
    audit.add(stage, ms, (extra + (busy ? gap : 0)) / 1e6);
    lastDue = due;
  }

  /**
   * Waits for a moment of {@link System#nanoTime}; a thread that is interrupted waits no longer.
   */
  static void waitUntil(long due) {
    for (long left = due - System.nanoTime();
        left > 0 && !Thread.currentThread().isInterrupted();
        left = due - System.nanoTime()) {
      LockSupport.parkNanos(left);
    }
  }
}
