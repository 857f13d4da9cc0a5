package io.epidote.engine.tier;

import java.util.LinkedHashSet;
import java.util.Set;

/** An adapter that is known, and who wants it. Guarded by its {@link AdapterTiers}. */
public final class TierEntry {
  final TieredWeights weights;
  final UseForecast forecast = new UseForecast();

  /** Requests that have named it and wait for something else, or have rested; by arrival. */
  final Set<AdapterUse> named = new LinkedHashSet<>();

  /** Requests that wait for it alone. */
  final Set<AdapterUse> waiting = new LinkedHashSet<>();

  Tier tier = Tier.COLD;

  /** Whether it is on its way to its tier: its room is taken, its weights are being read. */
  boolean arriving;

  /** Whether no more requests are to begin on it, so that another can have its room. */
  boolean leaving;

  /** Requests that run with it. */
  int pins;

  private long lastUsed;

  TierEntry(TieredWeights weights) {
    this.weights = weights;
  }

  void used(long now) {
    lastUsed = now;
  }

  /** Whether a request can begin to run with it. */
  boolean isUsable() {
    return tier == Tier.HOT && !arriving && !leaving;
  }

  /** Who of those that have named it came first; there must be one. */
  long firstNamed() {
    return named.stream().mapToLong(use -> use.arrival).min().orElseThrow();
  }

  public long bytes() {
    return weights.bytes();
  }

  /** On the clock of the tiers, when a request last began to run with it. */
  public long lastUsed() {
    return lastUsed;
  }

  /** Requests that wait for it alone. */
  public int waitingUses() {
    return waiting.size();
  }

  /** Requests that have named it, wait for it or run with it. */
  public int queuedUses() {
    return named.size() + waiting.size() + pins;
  }

  /** Uses that are expected of requests that have not come yet, within so many nanoseconds. */
  public double expectedUses(long now, long nanos) {
    return forecast.expected(now, nanos);
  }

  /** Since when the oldest of those who wait has waited; there must be one. */
  public long oldestWait() {
    return waiting.stream().mapToLong(AdapterUse::since).min().orElseThrow();
  }

  /** How long all of those who wait have waited, together. */
  public double totalWait(long now) {
    return waiting.stream().mapToDouble(use -> now - use.since()).sum();
  }
}
