package io.epidote.cli;

/**
 * One subject of {@code bench datapath}, with a cluster of its own. What is compared is measured in
 * turns within a round, so that what else the machine does falls on all of it.
 */
interface DatapathLine extends AutoCloseable {
  /** Names it in {@code --only} and to whoever waits. */
  String name();

  /** Whether one round tells all, and none may come before it. */
  default boolean isMeasuredOnce() {
    return false;
  }

  /** Measures everything once. */
  void round();

  /** Drops what was measured so far: the rounds that warm up. */
  void forget();

  /** Adds medians over all rounds. */
  void report(Report report);

  @Override
  void close();
}
