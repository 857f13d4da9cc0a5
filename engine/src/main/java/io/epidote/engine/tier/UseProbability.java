package io.epidote.engine.tier;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;

/**
 * The adapter that will probably be used least makes room: what queued requests name, and what is
 * expected of those to come by how often it was used (CoServe's use probability, Samba-CoE's
 * tiers). Requests for an adapter that is not hot are gathered, so that one switch serves many.
 *
 * <p>How long to gather is the problem of acknowledging packets (Dooly, Goldman and Scott, "On-line
 * analysis of the TCP acknowledgment delay problem", JACM 2001): switching when all that those who
 * gather have waited comes to the price of a switch costs at most twice what knowing the future
 * would. The price is paid by everybody who waits for another switch, so with few requests there is
 * hardly any gathering, and with many there is as much as the cap allows.
 *
 * <p>Nobody waits beyond the cap: whoever would, if all who wait for longer went before, is due
 * now. That holds as long as all adapters that are waited for can be read within the cap, and
 * requests that run leave room for one that does not.
 */
public record UseProbability(Duration waitCap) implements TierPolicy {
  /**
   * A switch costs more than its reading, which takes memory's time from everybody's steps. The
   * more, the fewer switches and the longer waits: with eight, a request that is alone waits for a
   * few reads.
   */
  private static final double WORTH = 8;

  /** Readings that others wait for: this one, and that of what it displaces. */
  private static final double READINGS = 2;

  /** By how much a node's thread may look too late. */
  private static final long LATENESS = Duration.ofMillis(60).toNanos();

  /** By how much reads may be slower than they were. */
  private static final double SLOWER = 1.1;

  @Override
  public boolean inArrivalOrder() {
    return false;
  }

  @Override
  public double worth(TierEntry entry, long now) {
    return entry.queuedUses() + entry.expectedUses(now, waitCap.toNanos());
  }

  @Override
  public List<TierEntry> due(Collection<TierEntry> waiting, long now, Costs costs) {
    List<TierEntry> byAge = new ArrayList<>(waiting);
    byAge.sort(Comparator.comparingLong(TierEntry::oldestWait));
    long cap = waitCap.toNanos();
    long ready = now + costs.begun() + Math.min(LATENESS, cap / 4);
    int urgent = 0;
    int uses = 0;
    for (int i = 0; i < byAge.size(); i++) {
      TierEntry entry = byAge.get(i);
      ready += (long) (SLOWER * costs.left().applyAsLong(entry));
      if (ready - entry.oldestWait() >= cap) {
        urgent = i + 1;
      }
      uses += entry.waitingUses();
    }
    List<TierEntry> due = new ArrayList<>(byAge.subList(0, urgent));
    int all = uses;
    byAge.subList(urgent, byAge.size()).stream()
        .filter(entry -> {
          double price = WORTH * costs.whole().applyAsLong(entry);
          return entry.totalWait(now) >= price * (1 + READINGS * (all - entry.waitingUses()));
        })
        .sorted(
            Comparator.comparingDouble(
                entry -> -entry.waitingUses() / (double) Math.max(1, entry.bytes())))
        .forEach(due::add);
    return due;
  }
}
