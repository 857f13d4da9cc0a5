package io.epidote.prefill;

import java.util.Set;

/**
 * @param eosIds tokens that end an answer, from the model's configuration
 * @param tokenBudget prompt tokens in one step, over all its sequences; a longer prompt is cut
 * @param maxSequences sequences in one step
 * @param decodesHere whether this node also decodes from the same pool. Then a prompt is let in
 *     only when its answer has room, too: prompts that fill the pool and wait for room for their
 *     answers would wait for each other for ever
 * @param weights what tells the weights from others, for the keys of cached blocks
 */
public record PrefillConfig(
    Set<Integer> eosIds, int tokenBudget, int maxSequences, boolean decodesHere, String weights) {
  public PrefillConfig {
    eosIds = Set.copyOf(eosIds);
    if (tokenBudget < 1 || maxSequences < 1) {
      throw new IllegalArgumentException("tokenBudget and maxSequences must be at least 1");
    }
  }

  public static PrefillConfig of(Set<Integer> eosIds, boolean decodesHere, String weights) {
    return new PrefillConfig(eosIds, 2048, 64, decodesHere, weights);
  }
}
