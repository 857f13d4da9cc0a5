package io.epidote.node.engine;

import java.util.OptionalLong;

/** A request of a stage, as far as its turn depends on it. Belongs to the engine thread. */
public interface Waiting {
  /** {@link System#nanoTime} when it could first have been given a turn, or nearly so. */
  long since();

  /** {@link System#nanoTime} by which the stage should be done with it; empty: no target. */
  OptionalLong deadline();

  /** For whom it is. */
  Flow flow();

  /** Units of the stage's work that are left, predicted: prompt tokens, tokens, tiles. */
  double remainingWork();

  /** Milliseconds of computation that are left, predicted; 0 before anything was measured. */
  double remainingMs();

  /** When {@code ms} milliseconds after {@code start} have passed; empty when {@code ms} is. */
  static OptionalLong deadline(long start, boolean hasTarget, double ms) {
    return hasTarget ? OptionalLong.of(start + (long) (ms * 1e6)) : OptionalLong.empty();
  }
}
