package io.epidote.prefill;

import io.epidote.engine.model.DecoderShape;

/** How much of a prompt a step runs. */
public record PromptChunks(PrefillConfig config) {
  /** A prompt of more parts than this is worth another step. */
  private static final int LONG_PARTS = 4;

  /**
   * How many tokens to run next, 0 when it is better to wait for a tile. But for {@link
   * #makingRoom}, all chunks except the last end with a block. What the last step computes is moved
   * when the first token is there already, so of a long prompt it gets little.
   *
   * @param tokens of the prompt
   * @param done of these, with keys and values
   * @param known tokens from the first on for which nothing is missing
   * @param kvLast whether KV blocks are announced when the prompt is done, and not before
   */
  public int next(int tokens, int done, int known, boolean kvLast) {
    if (kvLast) {
      return next(tokens, done, known, config.tokenBudget(), tokens);
    }
    int most = Math.min(config.tokenBudget(), config.chunkTokens());
    boolean isLong = tokens > LONG_PARTS * config.partTokens();
    return next(tokens, done, known, most, isLong ? config.partTokens() / 2 : tokens);
  }

  /**
   * The same where others wait for the room of media tokens that are here: all that is known, so
   * that none of them stay. What a whole block or a worthwhile step still needs may be at a node
   * that waits for just this room.
   */
  public int makingRoom(int done, int known) {
    return Math.min(known - done, config.tokenBudget());
  }

  /**
   * @param last in the prompt's last step, as near as whole blocks allow
   */
  private int next(int tokens, int done, int known, int most, int last) {
    int end = Math.min(known, done + most);
    if (end < tokens) {
      end = wholeBlocks(end);
    } else if (wholeBlocks(end - last) > done) {
      end = wholeBlocks(end - last);
    }
    int count = Math.max(0, end - done);
    return known < tokens && count < config.leastTokens() ? 0 : count;
  }

  private static int wholeBlocks(int tokens) {
    return tokens - tokens % DecoderShape.BLOCK_TOKENS;
  }
}
