package io.epidote.node.engine;

import java.util.OptionalLong;
import java.util.concurrent.TimeUnit;

/** A request as tests want it; times are from {@link #NOW}. */
public record Waiter(int number, long since, OptionalLong deadline, double remainingMs, Flow flow)
    implements Waiting {
  static final long NOW = System.nanoTime();

  Waiter(int number, long since, OptionalLong deadline, double remainingMs) {
    this(number, since, deadline, remainingMs, Flow.NONE);
  }

  /** One that just came and has no target. */
  public static Waiter any() {
    return new Waiter(0, System.nanoTime(), OptionalLong.empty(), 0);
  }

  static Waiter of(int number, long waitedMs, double remainingMs) {
    return new Waiter(number, NOW - nanos(waitedMs), OptionalLong.empty(), remainingMs);
  }

  Waiter dueIn(long ms) {
    return new Waiter(number, since, OptionalLong.of(NOW + nanos(ms)), remainingMs, flow);
  }

  Waiter of(Flow other) {
    return new Waiter(number, since, deadline, remainingMs, other);
  }

  @Override
  public double remainingWork() {
    return remainingMs;
  }

  private static long nanos(long ms) {
    return TimeUnit.MILLISECONDS.toNanos(ms);
  }
}
