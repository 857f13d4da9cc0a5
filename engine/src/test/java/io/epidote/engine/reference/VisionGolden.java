package io.epidote.engine.reference;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;

/**
 * Another implementation's answer to a prompt with a picture.
 *
 * @param weightsSha256 of {@code model.safetensors}
 * @param prompt with {@link VisionReferenceModel#IMAGE_TOKEN} wherever a media token goes
 * @param media the picture's media tokens in the order in which they stand in the prompt
 */
record VisionGolden(
    @JsonProperty("weights_sha256") String weightsSha256,
    @JsonProperty("media") List<Row> media,
    @JsonProperty("prompt") List<Integer> prompt,
    @JsonProperty("greedy") List<Integer> greedy,
    @JsonProperty("steps") List<Golden.Step> steps) {
  /**
   * A media token.
   *
   * @param row its place among those that Epidote makes of the tile
   * @param norm its Euclidean length
   * @param values the first of its values
   */
  record Row(
      @JsonProperty("row") int row,
      @JsonProperty("norm") double norm,
      @JsonProperty("values") List<Double> values) {}
}
