package io.epidote.node;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.engine.EngineLoop;
import io.epidote.node.lease.LeaseTable;
import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * Brings a role to rest whose gate is closed. Blocks, but for the engine thread; whoever asks it
 * waits no longer than for the bound that it gives.
 */
final class Drain {
  /** How often it is asked whether anything runs. */
  private static final long POLL_NANOS = Duration.ofMillis(5).toNanos();

  /** How long a command may wait for a step to end. */
  private static final Duration STEP = Duration.ofSeconds(2);

  private final EngineLoop loop;
  private final LeaseTable leases;
  private final Supplier<StatusReport> report;

  /**
   * @param report of the role, on the engine thread
   */
  Drain(EngineLoop loop, LeaseTable leases, Supplier<StatusReport> report) {
    this.loop = loop;
    this.leases = leases;
    this.report = report;
  }

  /** Ends requests. What they hold is freed by the engine thread, when it comes to it. */
  void end(Stage.Scope scope, String why) {
    EpidoteException reason = new EpidoteException.Unavailable(why);
    loop.execute(() -> report.get().end(scope, reason));
  }

  /**
   * Waits until no request and no lease holds anything.
   *
   * @param giveUp ends the wait early
   * @return whether it is so
   */
  boolean awaitIdle(Duration bound, BooleanSupplier giveUp) {
    return await(this::isIdle, bound, giveUp);
  }

  /**
   * Ends what still runs. What is complete and is being pulled at this moment may be pulled to its
   * end.
   *
   * @param pulls how long that may take
   * @param bound of the wait for everything to be freed
   * @return whether nothing holds anything
   */
  boolean endAll(String why, Duration pulls, Duration bound) {
    end(Stage.Scope.UNFINISHED, why);
    // Behind the command that ends them, which revokes what nobody will want.
    isIdle();
    await(() -> leases.pinned() == 0, pulls, () -> false);
    end(Stage.Scope.ALL, why);
    return awaitIdle(bound, () -> false);
  }

  private boolean isIdle() {
    try {
      return loop.call(() -> report.get().isIdle(), STEP);
    } catch (EpidoteException.Unavailable busy) {
      return false;
    }
  }

  private static boolean await(BooleanSupplier done, Duration bound, BooleanSupplier giveUp) {
    long deadline = System.nanoTime() + bound.toNanos();
    while (!done.getAsBoolean()) {
      if (System.nanoTime() >= deadline || giveUp.getAsBoolean()) {
        return false;
      }
      LockSupport.parkNanos(POLL_NANOS);
    }
    return true;
  }
}
