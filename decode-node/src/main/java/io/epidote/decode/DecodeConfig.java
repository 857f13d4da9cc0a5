package io.epidote.decode;

import io.epidote.node.engine.QueueOrder;
import java.util.Set;

/**
 * @param eosIds tokens that end an answer, from the model's configuration
 * @param maxBatch sequences in one step
 * @param kvWire how KV blocks of other nodes come
 * @param order in which answers are let in
 */
public record DecodeConfig(Set<Integer> eosIds, int maxBatch, KvWire kvWire, QueueOrder order) {
  public DecodeConfig {
    eosIds = Set.copyOf(eosIds);
    if (maxBatch < 1) {
      throw new IllegalArgumentException("maxBatch must be at least 1");
    }
  }

  /** Answers of a step where nothing else is said. */
  public static final int MAX_BATCH = 64;

  public static DecodeConfig of(Set<Integer> eosIds, KvWire kvWire, QueueOrder order) {
    return new DecodeConfig(eosIds, MAX_BATCH, kvWire, order);
  }
}
