package io.epidote.engine.tier;

/**
 * What adapters may have of a node.
 *
 * @param slots expert slots of the hot ones, in all layers together
 * @param hotBytes of the hot ones
 * @param warmBytes of those that are read in beside them; there is always room for two of the
 *     largest, the one that is next and the one after it
 * @param readRate bytes in a second that are read at most, to leave the disk to others
 */
public record TierBudget(long slots, long hotBytes, long warmBytes, long readRate) {
  /** Every adapter is hot. */
  public static final TierBudget ALL =
      new TierBudget(Long.MAX_VALUE, Long.MAX_VALUE, Long.MAX_VALUE, Long.MAX_VALUE);

  public TierBudget {
    if (slots < 1 || hotBytes < 1 || warmBytes < 0 || readRate < 1) {
      throw new IllegalArgumentException(
          "slots %d, hot bytes %d, warm bytes %d, read rate %d: expected at least 1, 1, 0 and 1"
              .formatted(slots, hotBytes, warmBytes, readRate));
    }
  }

  boolean isBounded() {
    return slots < Long.MAX_VALUE || hotBytes < Long.MAX_VALUE;
  }
}
