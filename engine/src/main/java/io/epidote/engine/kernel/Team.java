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

  private final Shares shares;
  private final List<Thread> helpers = new ArrayList<>();
  private volatile boolean working;
  private volatile boolean closed;

  /**
   * @param shares of as many workers, of which the session's thread is number 0
   */
  Team(Shares shares, int workers) {
    this.shares = shares;
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
    while (!closed) {
      if (!working) {
        LockSupport.park(this);
      }
      for (int spin = 0; working; spin++) {
        if (shares.open() && shares.take(worker)) {
          spin = 0;
        }
        pause(spin);
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
