package io.epidote.engine.sampling;

import java.util.Set;

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
 * @param minTokens tokens to generate before the end of sequence or a stop token may be
 * @param stopTokens with the end of sequence, what {@code minTokens} keeps away
 * @param minP tokens of less than this share of the likeliest one's probability are not drawn, 0 to
 *     1; at the temperature, and before {@code topK} and {@code topP} choose from the rest
 * @param rules for single tokens
 */
public record SamplingOptions(
    int maxTokens,
    float temperature,
    float topP,
    int topK,
    long seed,
    boolean ignoreEos,
    int logprobs,
    Penalties penalties,
    int minTokens,
    Set<Integer> stopTokens,
    float minP,
    TokenRules rules) {
  public SamplingOptions {
    stopTokens = Set.copyOf(stopTokens);
  }

  /** Without rules for single tokens, of which the least likely may be drawn, too. */
  public SamplingOptions(
      int maxTokens,
      float temperature,
      float topP,
      int topK,
      long seed,
      boolean ignoreEos,
      int logprobs,
      Penalties penalties,
      int minTokens,
      Set<Integer> stopTokens) {
    this(
        maxTokens,
        temperature,
        topP,
        topK,
        seed,
        ignoreEos,
        logprobs,
        penalties,
        minTokens,
        stopTokens,
        0,
        TokenRules.NONE);
  }

  /** Without penalties either, for answers that may end at any token. */
  public SamplingOptions(
      int maxTokens,
      float temperature,
      float topP,
      int topK,
      long seed,
      boolean ignoreEos,
      int logprobs) {
    this(
        maxTokens, temperature, topP, topK, seed, ignoreEos, logprobs, Penalties.NONE, 0, Set.of());
  }

  /** Whether the most likely token is taken, without a draw. */
  public boolean isGreedy() {
    return temperature == 0f;
  }
}
