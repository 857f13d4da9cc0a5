package io.epidote.engine.reference;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;

/**
 * Another implementation's answer.
 *
 * @param weightsSha256 of {@code model.safetensors}: that it is the same weights that are compared
 * @param greedy the most likely token after the prompt, after that token, and so on
 * @param steps some of those steps
 */
record Golden(
    @JsonProperty("weights_sha256") String weightsSha256,
    @JsonProperty("prompt") List<Integer> prompt,
    @JsonProperty("greedy") List<Integer> greedy,
    @JsonProperty("steps") List<Step> steps) {
  /**
   * The five most likely tokens.
   *
   * @param step 0 is after the prompt
   */
  record Step(
      @JsonProperty("step") int step,
      @JsonProperty("tokens") List<Integer> tokens,
      @JsonProperty("log_probabilities") List<Double> logProbabilities) {}
}
