package io.epidote.engine.checkpoint;

/** How a model that was trained on short contexts turns its rotary embedding on longer ones. */
public sealed interface RopeScaling {
  /** Not at all. */
  record None() implements RopeScaling {}

  /**
   * Positions are divided by {@code factor} ("Extending Context Window ... via Position
   * Interpolation").
   */
  record Linear(double factor) implements RopeScaling {}

  /**
   * Llama 3.1's: pairs that turn slowly are divided by {@code factor}, fast ones are left, those
   * between are blended.
   *
   * @param lowFrequency a pair is slow with fewer turns than this in the original context
   * @param highFrequency a pair is fast with more turns than this
   * @param originalContext tokens
   */
  record Llama3(double factor, double lowFrequency, double highFrequency, int originalContext)
      implements RopeScaling {}

  /**
   * YaRN (arXiv 2309.00071): as {@link Llama3}, but blended by the pair's index, and with cosines
   * and sines times {@code magnitude}.
   *
   * @param originalContext tokens
   * @param fastTurns a pair with more turns than this in the original context is left
   * @param slowTurns a pair with fewer turns than this is divided by {@code factor}
   * @param wholePairs whether the blend's ends are rounded to whole pairs
   */
  record Yarn(
      double factor,
      int originalContext,
      double fastTurns,
      double slowTurns,
      boolean wholePairs,
      double magnitude)
      implements RopeScaling {
    /** YaRN's growth of magnitude with the context, {@code 0.1 * weight * ln(factor) + 1}. */
    public static double magnitude(double factor, double weight) {
      return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
    }
  }
}
