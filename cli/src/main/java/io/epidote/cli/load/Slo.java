package io.epidote.cli.load;

/**
 * What an answer should be like.
 *
 * @param ttftMs until the first token; infinite for no target
 * @param tpotMs for each token after it; infinite for no target
 */
public record Slo(double ttftMs, double tpotMs) {
  /** Whether its first token came in time. */
  public boolean first(Answer answer) {
    return answer.whole() && answer.ttft() / 1e6 <= ttftMs;
  }

  /** Whether the tokens after it did. */
  public boolean later(Answer answer) {
    return answer.whole() && answer.tpot() / 1e6 <= tpotMs;
  }

  /** Whether the answer met both. */
  public boolean met(Answer answer) {
    return first(answer) && later(answer);
  }

  /** Whether there is any target. */
  public boolean given() {
    return Double.isFinite(ttftMs) || Double.isFinite(tpotMs);
  }
}
