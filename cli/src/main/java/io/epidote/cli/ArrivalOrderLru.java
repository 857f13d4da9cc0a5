package io.epidote.cli;

import io.epidote.engine.tier.TierEntry;
import io.epidote.engine.tier.TierPolicy;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;

/**
 * What plain caches do, to compare with: requests in the order in which they came, each of which
 * has its adapter switched in at once for the one that was used longest ago.
 */
record ArrivalOrderLru() implements TierPolicy {
  @Override
  public boolean inArrivalOrder() {
    return true;
  }

  @Override
  public double worth(TierEntry entry, long now) {
    return entry.lastUsed();
  }

  @Override
  public List<TierEntry> due(Collection<TierEntry> waiting, long now, Costs costs) {
    return waiting.stream().sorted(Comparator.comparingLong(TierEntry::oldestWait)).toList();
  }
}
