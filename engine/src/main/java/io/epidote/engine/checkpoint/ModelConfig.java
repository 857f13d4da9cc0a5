package io.epidote.engine.checkpoint;

import java.util.Optional;
import java.util.Set;

/**
 * What {@code config.json} says of a model, in Epidote's words and with the defaults filled in.
 *
 * @param modelType as written, for example {@code idefics3}
 * @param vision empty for a model of text only
 * @param imageTokenId the token that stands where a media token goes, or -1
 * @param eosTokenIds tokens that end an answer
 */
public record ModelConfig(
    String modelType,
    Optional<VisionConfig> vision,
    TextConfig text,
    int imageTokenId,
    Set<Integer> eosTokenIds) {
  public ModelConfig {
    eosTokenIds = Set.copyOf(eosTokenIds);
  }

  /** Media tokens that one tile becomes; 0 for a model of text only. */
  public int tileTokens() {
    return vision.map(VisionConfig::mediaTokens).orElse(0);
  }
}
