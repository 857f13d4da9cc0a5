package io.epidote.engine.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * Threads that stay with a session's thread through a step, spinning for the next pieces of work: a
 * step has hundreds of operators, some of which take less time than it takes to call a thread.
 * Between steps they sleep, because several processes may share the cores.
 */
final class Team implements AutoCloseable {
  /** Turns of a wait, some tens of microseconds, before another thread is let on the core. */
  private static final int SPINS = 1 << 12;

  /** What a worker fetches ahead at most, a quarter of a core's second cache; more gave no more. */
  private static final int AHEAD_BYTES = 256 << 10;

  private final Shares shares;
  private final int workers;
  private final List<Thread> helpers = new ArrayList<>();
  private volatile ReadingOrder.Matrix expected = ReadingOrder.Matrix.NONE;
  private volatile boolean working;
  private volatile boolean closed;

  /**
   * @param shares of as many workers, of which the session's thread is number 0
   */
  Team(Shares shares, int workers) {
    this.shares = shares;
    this.workers = workers;
    for (int worker = 1; worker < workers; worker++) {
      int index = worker;
      helpers.add(Thread.ofPlatform().daemon().name("kernel-" + worker).start(() -> help(index)));
    }
  }

  /** A step begins. */
  void begin() {
    working = true;
    helpers.forEach(LockSupport::unpark);
  }

  /** See {@link KernelContext#expect}. */
  void expect(ReadingOrder.Matrix next) {
    expected = next;
  }

  /** The step has ended. */
  void end() {
    working = false;
  }

  /** Does all that was dealt, with whoever is there. */
  void work() {
    shares.take(0);
    for (int spin = 0; shares.open(); spin++) {
      pause(spin);
    }
  }

  private void help(int worker) {
    ReadingOrder.Matrix fetched = ReadingOrder.Matrix.NONE;
    long at = 0;
    long end = 0;
    while (!closed) {
      if (!working) {
        LockSupport.park(this);
      }
      for (int spin = 0; working; spin++) {
        if (shares.open() && shares.take(worker)) {
          spin = 0;
        }
        ReadingOrder.Matrix next = expected;
        if (next != fetched) {
          fetched = next;
          at = next.start(worker, workers);
          end = Math.min(at + AHEAD_BYTES, next.start(worker + 1, workers));
        }
        if (at < end) {
          Prefetch.of(at);
          at += Prefetch.BYTES;
        } else {
          pause(spin);
        }
      }
    }
  }

  private static void pause(int spin) {
    if (spin < SPINS) {
      Thread.onSpinWait();
    } else {
      Thread.yield();
    }
  }

  /** Between steps only. */
  @Override
  public void close() {
    closed = true;
    helpers.forEach(LockSupport::unpark);
    for (Thread helper : helpers) {
      boolean interrupted = false;
      while (helper.isAlive()) {
        try {
          helper.join();
        } catch (InterruptedException e) {
          interrupted = true;
        }
      }
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
  }
}
