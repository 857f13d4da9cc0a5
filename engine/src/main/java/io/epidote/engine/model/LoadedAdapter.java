package io.epidote.engine.model;

import io.epidote.engine.tier.TierEntry;

/**
 * One generation of an adapter that a decoder holds. Who has taken it with {@link Adapters#take}
 * may run steps with it until it is given back, whatever is loaded or unloaded meanwhile; where not
 * all adapters are hot, while it has pinned it.
 */
public final class LoadedAdapter {
  private final String name;
  private final long generation;
  private final AdapterWeights weights;
  private final TierEntry entry;

  /** Requests that run on it; guarded by {@link Adapters}. */
  int users;

  /** Whether no request may begin on it any more; guarded by {@link Adapters}. */
  boolean retired;

  LoadedAdapter(String name, long generation, AdapterWeights weights, TierEntry entry) {
    this.name = name;
    this.generation = generation;
    this.weights = weights;
    this.entry = entry;
  }

  public String name() {
    return name;
  }

  /** Counts the loads of a decoder. */
  public long generation() {
    return generation;
  }

  /** Hex SHA-256 of config and weights: equal wherever the same adapter is loaded. */
  public String digest() {
    return weights.digest();
  }

  /** {@code esft} or {@code lora}. */
  public String kind() {
    return weights.kind();
  }

  /** Bytes that it has resident when it is hot: what it holds, without padding. */
  public long bytes() {
    return weights.bytes();
  }

  /** Expert slots that it takes when it is hot, in all layers together. */
  public int slots() {
    return weights.slots();
  }

  /** For {@link Adapters#tiers}. */
  public TierEntry entry() {
    return entry;
  }

  AdapterWeights weights() {
    return weights;
  }

  @Override
  public String toString() {
    return "%s (generation %d, %s)".formatted(name, generation, digest().substring(0, 12));
  }
}
