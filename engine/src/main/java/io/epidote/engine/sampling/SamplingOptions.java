package io.epidote.engine.sampling;

/**
 * How to choose tokens; validated, defaults filled in.
 *
 * @param maxTokens most tokens to generate
 * @param temperature 0 is greedy
 * @param topP nucleus mass in (0, 1]
 * @param topK most likely tokens to keep, 0 for all
 * @param seed with the position, decides every draw: a stream can go on elsewhere
 * @param ignoreEos go on after the end of sequence
 * @param logprobs alternatives to report, or -1 for no log-probabilities at all
 */
public record SamplingOptions(
    int maxTokens,
    float temperature,
    float topP,
    int topK,
    long seed,
    boolean ignoreEos,
    int logprobs) {
  /** Whether the most likely token is taken, without a draw. */
  public boolean isGreedy() {
    return temperature == 0f;
  }
}
