package io.epidote.engine.tier;

import java.util.Collection;
import java.util.List;
import java.util.function.ToLongFunction;

/** Which adapter comes next, and which one goes for it. It decides on places alone. */
public interface TierPolicy {
  /** Whether requests are not to overtake one whose adapter is not hot. */
  boolean inArrivalOrder();

  /** How much an adapter is worth its place: the least goes first. */
  double worth(TierEntry entry, long now);

  /**
   * Those whose turn it is to take the place of others, the first first.
   *
   * @param waiting adapters that are not hot, each with requests that wait for it
   * @param costs in nanoseconds
   */
  List<TierEntry> due(Collection<TierEntry> waiting, long now, Costs costs);

  /**
   * What switching takes.
   *
   * @param whole of an adapter, as if it were cold
   * @param left of an adapter, 0 when it is read in
   * @param begun at most until the read that is under way has ended
   */
  record Costs(ToLongFunction<TierEntry> whole, ToLongFunction<TierEntry> left, long begun) {}
}
