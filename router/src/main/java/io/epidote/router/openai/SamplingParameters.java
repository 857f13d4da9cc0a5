package io.epidote.router.openai;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.Sampling;
import java.util.Optional;

/**
 * Sampling parameters as clients of vLLM's Triton backend send them: the fields of a text
 * completion, whose values may stand in strings.
 *
 * @param choices answers to one prompt
 * @param priority less is earlier
 * @param adapter its name ({@code lora_name}), empty when none is named
 */
public record SamplingParameters(int choices, int priority, Sampling sampling, String adapter) {
  private static final JsonMapper MAPPER =
      JsonMapper.builder().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS).build();

  /** A list of stop strings may stand in a string, a number is one itself. */
  private static final String STOP = "stop";

  /**
   * @param path of the parameters, for messages
   * @param wantsLogprobs whether log-probabilities are needed whatever the parameters say
   * @throws InvalidField naming the parameter that must change
   */
  public static SamplingParameters read(JsonNode parameters, String path, boolean wantsLogprobs) {
    if (!parameters.isObject()) {
      throw Fields.wrong(path, parameters, "an object");
    }
    ObjectNode typed = JsonNodeFactory.instance.objectNode();
    parameters
        .properties()
        .forEach(entry -> typed.set(entry.getKey(), typed(entry.getKey(), entry.getValue())));
    Fields fields = Fields.of(typed, path);
    CommonFields common = new CommonFields(fields);
    Long alternatives = CompletionRequestReader.alternatives(fields);
    Sampling sampling =
        common.sampling(
            CompletionRequestReader.maxTokens(fields),
            wantsLogprobs || alternatives != null,
            alternatives);
    Unsupported.refuseInCompletion(fields);
    return new SamplingParameters(
        common.choices,
        common.priority,
        sampling,
        Optional.ofNullable(fields.text("lora_name")).orElse(""));
  }

  private static JsonNode typed(String name, JsonNode value) {
    if (!value.isTextual() || name.equals("lora_name")) {
      return value;
    }
    try {
      JsonNode inside = MAPPER.readTree(value.textValue());
      boolean fits =
          name.equals(STOP) ? inside.isArray() : inside.isValueNode() || inside.isArray();
      return fits ? inside : value;
    } catch (JsonProcessingException e) {
      return value;
    }
  }
}
