package io.epidote.engine.tier;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.stream.Stream;

/** Who has which place, and who makes room for whom. Guarded by its {@link AdapterTiers}. */
final class TierPlaces {
  final Set<TierEntry> entries = new LinkedHashSet<>();
  private final Executor worker;
  private TierBudget budget = TierBudget.ALL;
  private TierPolicy policy = new UseProbability(AdapterTiers.DEFAULT_WAIT_CAP);

  private long hotSlots;
  private long hotBytes;
  private long warmBytes;
  private long switches;
  private long evictions;

  /**
   * @param worker lets what goes leave memory
   */
  TierPlaces(Executor worker) {
    this.worker = requireNonNull(worker, "worker is null");
  }

  void bound(TierBudget budget, TierPolicy policy) {
    if (!entries.isEmpty()) {
      throw new IllegalStateException("there are adapters already");
    }
    this.budget = requireNonNull(budget, "budget is null");
    this.policy = requireNonNull(policy, "policy is null");
  }

  TierBudget budget() {
    return budget;
  }

  TierPolicy policy() {
    return policy;
  }

  /**
   * @throws InvalidRequest when an adapter could never be hot
   */
  void checkFits(TieredWeights weights) {
    if (weights.slots() > budget.slots() || weights.bytes() > budget.hotBytes()) {
      throw new InvalidRequest(
          "The adapter needs %s, but --adapter-slots gives all adapters of this node %s; give the node more, or choose an adapter with fewer experts"
              .formatted(
                  weights.slots() > budget.slots()
                      ? weights.slots() + " expert slots"
                      : weights.bytes() + " bytes",
                  weights.slots() > budget.slots()
                      ? Long.toString(budget.slots())
                      : Long.toString(budget.hotBytes())));
    }
  }

  boolean fits(TierEntry entry) {
    return entry.weights.slots() <= budget.slots() - hotSlots
        && entry.bytes() <= budget.hotBytes() - hotBytes;
  }

  void become(TierEntry entry, Tier tier) {
    account(entry, -1);
    entry.tier = tier;
    account(entry, 1);
  }

  private void account(TierEntry entry, int sign) {
    switch (entry.tier) {
      case HOT -> {
        hotSlots += (long) sign * entry.weights.slots();
        hotBytes += sign * entry.bytes();
      }
      case WARM -> warmBytes += sign * entry.bytes();
      case COLD -> {}
    }
  }

  /** Whether it is read in, and has no slots. */
  static boolean isReadIn(TierEntry entry) {
    return entry.tier == Tier.WARM && !entry.arriving;
  }

  void place(TierEntry entry) {
    become(entry, Tier.HOT);
    entry.weights.place();
    switches++;
  }

  /**
   * Evicts adapters that are worth least.
   *
   * @return whether there is room; if not, no more requests begin on those that are to go
   */
  boolean makeRoom(TierEntry entry, long now) {
    if (fits(entry)) {
      return true;
    }
    List<TierEntry> hot =
        entries.stream()
            .filter(each -> each.tier == Tier.HOT && !each.arriving)
            // What was placed for others who have not seen it yet stays.
            .filter(each -> each.waiting.isEmpty() || each.leaving)
            .sorted(Comparator.comparingDouble(each -> policy.worth(each, now)))
            .toList();
    Optional<List<TierEntry>> idle =
        enough(entry, hot.stream().filter(each -> each.pins == 0).toList());
    if (idle.isPresent()) {
      idle.get().forEach(this::evict);
      return true;
    }
    // Those that were told to leave before go on doing so: others would never all be idle at once.
    List<TierEntry> leavers =
        Stream.concat(
                hot.stream().filter(each -> each.pins == 0 || each.leaving),
                hot.stream().filter(each -> each.pins > 0 && !each.leaving))
            .toList();
    enough(entry, leavers).ifPresent(all -> all.forEach(each -> each.leaving = true));
    return false;
  }

  /** The first of some adapters whose room is enough for another; empty when all are not. */
  private Optional<List<TierEntry>> enough(TierEntry entry, List<TierEntry> from) {
    long slots = budget.slots() - hotSlots;
    long bytes = budget.hotBytes() - hotBytes;
    List<TierEntry> chosen = new ArrayList<>();
    for (TierEntry each : from) {
      if (slots >= entry.weights.slots() && bytes >= entry.bytes()) {
        break;
      }
      slots += each.weights.slots();
      bytes += each.bytes();
      chosen.add(each);
    }
    return slots >= entry.weights.slots() && bytes >= entry.bytes()
        ? Optional.of(chosen)
        : Optional.empty();
  }

  private void evict(TierEntry entry) {
    entry.leaving = false;
    entry.weights.displace();
    become(entry, Tier.WARM);
    evictions++;
  }

  /** All requests may begin on what is hot. */
  void letAllStay() {
    entries.forEach(entry -> entry.leaving = false);
  }

  /** Bytes that warm adapters may have, those that are being read in included. */
  long warmRoom() {
    long largest = entries.stream().mapToLong(TierEntry::bytes).max().orElse(0);
    return Math.max(budget.warmBytes(), 2 * largest);
  }

  /**
   * Lets warm adapters go until they have no more than so many bytes: first those that nobody has
   * named, then those that are named, then those that are waited for, but none of the kept.
   *
   * @return whether that could be done
   */
  boolean dropWarm(long most, List<TierEntry> kept, long now) {
    if (warmBytes <= most) {
      return true;
    }
    List<TierEntry> order =
        entries.stream()
            .filter(each -> isReadIn(each) && !kept.contains(each))
            .sorted(
                Comparator.comparingInt((TierEntry each) -> each.waiting.isEmpty() ? 0 : 1)
                    .thenComparingDouble(each -> policy.worth(each, now)))
            .toList();
    for (TierEntry entry : order) {
      if (warmBytes <= most) {
        break;
      }
      become(entry, Tier.COLD);
      worker.execute(entry.weights::drop);
    }
    return warmBytes <= most;
  }

  /** Whether not all adapters may be hot. */
  boolean isBounded() {
    return budget.isBounded();
  }

  long hotSlots() {
    return hotSlots;
  }

  long hotBytes() {
    return hotBytes;
  }

  long warmBytes() {
    return warmBytes;
  }

  long coldBytes() {
    return entries.stream().mapToLong(TierEntry::bytes).sum() - hotBytes - warmBytes;
  }

  long switches() {
    return switches;
  }

  long evictions() {
    return evictions;
  }
}
