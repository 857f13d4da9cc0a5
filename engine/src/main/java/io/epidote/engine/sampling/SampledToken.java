package io.epidote.engine.sampling;

import java.util.List;

/**
 * A chosen token.
 *
 * @param logprob natural logarithm of its probability before temperature, NaN when not asked for
 * @param candidates the most likely tokens, most likely first; empty when not asked for
 */
public record SampledToken(int tokenId, float logprob, List<Candidate> candidates) {
  public record Candidate(int tokenId, float logprob) {}
}
