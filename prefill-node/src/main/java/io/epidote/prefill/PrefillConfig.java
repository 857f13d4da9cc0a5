package io.epidote.prefill;

import io.epidote.engine.model.DecoderShape;
import io.epidote.node.engine.QueueOrder;
import java.util.Set;

/**
 * @param eosIds tokens that end an answer, from the model's configuration
 * @param tokenBudget prompt tokens in one step, over all its sequences; a longer prompt is cut
 * @param chunkTokens tokens of one prompt in a step while its KV blocks are pulled elsewhere: what
 *     a step has computed can only be moved after it
 * @param maxSequences sequences in one step
 * @param leastTokens a prompt that waits for its tiles is run when at least this many of its tokens
 *     can be: a step costs something, too
 * @param partTokens KV blocks of at least this many tokens are announced while a prompt is run;
 *     whole blocks
 * @param decodesHere whether this node also decodes from the same pool. Then a prompt is let in
 *     only when its answer has room, too: prompts that fill the pool and wait for room for their
 *     answers would wait for each other for ever
 * @param weights what tells the weights from others, for the keys of cached blocks
 * @param order of turns among prompts
 * @param planned whether prompts share a step only where that pays ({@link BatchPlan}); otherwise
 *     as many as fit the budget do
 */
public record PrefillConfig(
    Set<Integer> eosIds,
    int tokenBudget,
    int chunkTokens,
    int maxSequences,
    int leastTokens,
    int partTokens,
    boolean decodesHere,
    String weights,
    QueueOrder order,
    boolean planned) {
  public PrefillConfig {
    eosIds = Set.copyOf(eosIds);
    if (partTokens < 1 || partTokens % DecoderShape.BLOCK_TOKENS != 0) {
      throw new IllegalArgumentException(
          "partTokens must be a multiple of %d".formatted(DecoderShape.BLOCK_TOKENS));
    }
    if (Math.min(tokenBudget, chunkTokens) < DecoderShape.BLOCK_TOKENS || maxSequences < 1) {
      throw new IllegalArgumentException(
          "tokenBudget and chunkTokens must be at least %d, and maxSequences 1"
              .formatted(DecoderShape.BLOCK_TOKENS));
    }
  }

  /** With the usual sizes. */
  public static PrefillConfig of(Set<Integer> eosIds, boolean decodesHere, String weights) {
    return new PrefillConfig(
        eosIds, 2048, 512, 64, 32, 256, decodesHere, weights, QueueOrder.FCFS, true);
  }

  /** The same with another budget for a step. */
  public PrefillConfig withTokenBudget(int tokens) {
    return new PrefillConfig(
        eosIds,
        tokens,
        chunkTokens,
        maxSequences,
        leastTokens,
        partTokens,
        decodesHere,
        weights,
        order,
        planned);
  }

  /** The same in another order. */
  public PrefillConfig withOrder(QueueOrder turns, boolean plans) {
    return new PrefillConfig(
        eosIds,
        tokenBudget,
        chunkTokens,
        maxSequences,
        leastTokens,
        partTokens,
        decodesHere,
        weights,
        turns,
        plans);
  }
}
