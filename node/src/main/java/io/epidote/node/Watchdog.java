package io.epidote.node;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.engine.EngineLoop;
import java.time.Duration;
import java.util.Arrays;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Notices an engine thread that is stuck. The node reports itself draining and unhealthy then, and
 * its calls are ended, so that routers go elsewhere. What they hold stays with the thread; when it
 * comes back it frees that, and the node goes on. After an error of a step it does not go on.
 * Belongs to the timer's thread.
 */
final class Watchdog {
  private static final Logger log = LoggerFactory.getLogger(Watchdog.class);

  private final EngineLoop loop;
  private final NodeState state;
  private final StageServices services;
  private final Registrations routers;
  private final Duration bound;
  private long lookedAt = System.nanoTime();
  private boolean failed;

  /**
   * @param bound on a step, 0 for none
   */
  Watchdog(
      EngineLoop loop,
      NodeState state,
      StageServices services,
      Registrations routers,
      Duration bound) {
    this.loop = loop;
    this.state = state;
    this.services = services;
    this.routers = routers;
    this.bound = bound;
  }

  /**
   * To be called regularly.
   *
   * @param period in which it is called
   */
  void look(Duration period) {
    long now = System.nanoTime();
    boolean stopped = now - lookedAt > period.multipliedBy(4).toNanos();
    lookedAt = now;
    String fault = loop.fault();
    if (fault != null && !failed) {
      failed = true;
      routers.reportSoon();
      services.endAll(new EpidoteException.Unavailable(fault));
    }
    // Of a process that was stopped as a whole, no thread is stuck.
    if (bound.isZero() || stopped) {
      return;
    }
    boolean late = loop.busyNanos() > bound.toNanos();
    if (late && state.stuck() == null) {
      trip();
    } else if (!late && state.stuck() != null) {
      log.info("The engine thread has come back; the node takes requests again");
      state.stuck(null);
      routers.reportSoon();
    }
  }

  private void trip() {
    String why =
        "The engine thread has been in one step for more than %s.".formatted(Limits.words(bound));
    log.error(
        "{} The node is reported unhealthy until it comes back. It is at:\n{}",
        why,
        Arrays.stream(loop.stackTrace())
            .map(frame -> "    " + frame)
            .collect(Collectors.joining("\n")));
    state.stuck(why);
    routers.reportSoon();
    services.endAll(new EpidoteException.Unavailable(why));
  }
}
