package io.epidote.engine.sampling;

/**
 * How logits of tokens are changed that were there before.
 *
 * @param frequency taken from a token's logit for each time that the answer has it
 * @param presence taken from the logit of a token that the answer has
 * @param repetition divides positive logits of tokens that prompt or answer have, and multiplies
 *     others; over 0
 */
public record Penalties(float frequency, float presence, float repetition) {
  public static final Penalties NONE = new Penalties(0, 0, 1);

  /** Whether tokens of the answer count. */
  public boolean countsAnswer() {
    return frequency != 0 || presence != 0 || countsPrompt();
  }

  /** Whether tokens of the prompt count, too. */
  public boolean countsPrompt() {
    return repetition != 1;
  }

  /**
   * A logit as it is sampled from.
   *
   * @param count of the token in the answer; 0 when only the prompt has it
   */
  float apply(float logit, int count) {
    float changed = logit;
    if (countsPrompt()) {
      // Division by very little must not end where nothing can be told apart from anything.
      changed = logit > 0 ? Math.min(logit / repetition, Float.MAX_VALUE) : logit * repetition;
    }
    return count > 0 ? changed - frequency * count - presence : changed;
  }
}
