package io.epidote.prefill;

import java.util.Set;

/**
 * @param eosIds tokens that end an answer, from the model's configuration
 * @param tokenBudget prompt tokens in one step, over all its sequences; a longer prompt is cut
 * @param maxSequences sequences in one step
 * @param decodesHere whether this node also decodes from the same pool. Then a prompt's blocks are
 *     taken together with those of its answer: prompts that fill the pool and wait for room for
 *     their answers would wait for each other for ever
 */
public record PrefillConfig(
    Set<Integer> eosIds, int tokenBudget, int maxSequences, boolean decodesHere) {
  public PrefillConfig {
    eosIds = Set.copyOf(eosIds);
    if (tokenBudget < 1 || maxSequences < 1) {
      throw new IllegalArgumentException("tokenBudget and maxSequences must be at least 1");
    }
  }

  public static PrefillConfig of(Set<Integer> eosIds, boolean decodesHere) {
    return new PrefillConfig(eosIds, 2048, 64, decodesHere);
  }
}
