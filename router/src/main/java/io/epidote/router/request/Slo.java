package io.epidote.router.request;

import java.util.OptionalDouble;

/**
 * How fast a request should be answered: what stages order their requests by, if they do so by
 * slack.
 *
 * @param ttftMs milliseconds to the first token; empty: no target
 * @param tpotMs milliseconds for each token after it, on average; empty: no target
 * @param lateOk whether an answer that comes late is better than none
 */
public record Slo(OptionalDouble ttftMs, OptionalDouble tpotMs, boolean lateOk) {
  public static final Slo NONE = new Slo(OptionalDouble.empty(), OptionalDouble.empty());

  /** Targets that a router may refuse a request by. */
  public Slo(OptionalDouble ttftMs, OptionalDouble tpotMs) {
    this(ttftMs, tpotMs, false);
  }

  /** A target, which must be a positive number. */
  public static OptionalDouble target(String field, double ms) {
    if (!(ms > 0) || Double.isInfinite(ms)) {
      throw new InvalidField(field, "is %s; expected milliseconds above 0".formatted(ms));
    }
    return OptionalDouble.of(ms);
  }

  /** These targets, and others where there are none. */
  Slo or(Slo others) {
    return new Slo(
        ttftMs.isPresent() ? ttftMs : others.ttftMs,
        tpotMs.isPresent() ? tpotMs : others.tpotMs,
        lateOk || others.lateOk);
  }

  /** Whether a first token in so many milliseconds would miss its target. */
  boolean isMissedBy(double predictedMs) {
    return ttftMs.isPresent() && predictedMs > ttftMs.getAsDouble();
  }

  /** What is left of the target after a time, negative when it is late. */
  Slo after(double ms) {
    return ttftMs.isEmpty()
        ? this
        : new Slo(OptionalDouble.of(ttftMs.getAsDouble() - ms), tpotMs, lateOk);
  }
}
