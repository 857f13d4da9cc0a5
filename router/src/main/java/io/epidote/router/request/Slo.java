package io.epidote.router.request;

import java.util.OptionalDouble;

/**
 * How fast a request should be answered: what stages order their requests by, if they do so by
 * slack.
 *
 * @param ttftMs milliseconds to the first token; empty: no target
 * @param tpotMs milliseconds for each token after it, on average; empty: no target
 */
public record Slo(OptionalDouble ttftMs, OptionalDouble tpotMs) {
  public static final Slo NONE = new Slo(OptionalDouble.empty(), OptionalDouble.empty());

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
        ttftMs.isPresent() ? ttftMs : others.ttftMs, tpotMs.isPresent() ? tpotMs : others.tpotMs);
  }

  /** What is left of the target after a time, negative when it is late. */
  Slo after(double ms) {
    return ttftMs.isEmpty() ? this : new Slo(OptionalDouble.of(ttftMs.getAsDouble() - ms), tpotMs);
  }
}
