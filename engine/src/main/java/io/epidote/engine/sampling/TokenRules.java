package io.epidote.engine.sampling;

import java.util.Map;
import java.util.Set;

/**
 * What is said of single tokens, whatever was there before.
 *
 * @param bias added to the logits of its tokens
 * @param allowed the only tokens that an answer may have; empty: all
 */
public record TokenRules(Map<Integer, Float> bias, Set<Integer> allowed) {
  public static final TokenRules NONE = new TokenRules(Map.of(), Set.of());

  public TokenRules {
    bias = Map.copyOf(bias);
    allowed = Set.copyOf(allowed);
  }

  public boolean isEmpty() {
    return bias.isEmpty() && allowed.isEmpty();
  }
}
