package io.epidote.router.openai;

import com.fasterxml.jackson.databind.JsonNode;
import io.epidote.router.request.GenerationRequest;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.Sampling;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** The fields that chat and text completions share. */
final class CommonFields {
  private final Fields fields;
  final String model;
  final int choices;
  final int priority;
  final boolean stream;
  final boolean includeUsage;
  final boolean timeline;

  /**
   * @throws InvalidField naming a field that cannot be
   */
  CommonFields(Fields fields) {
    this.fields = fields;
    model = Optional.ofNullable(fields.text("model")).orElse("");
    choices = (int) number(fields, "n", 1, GenerationRequest.MAX_CHOICES, 1);
    priority = (int) number(fields, "priority", Integer.MIN_VALUE, Integer.MAX_VALUE, 0);
    stream = fields.flag("stream");
    Fields options = fields.object("stream_options");
    includeUsage = options != null && options.flag("include_usage");
    timeline = fields.flag("timeline");
  }

  /**
   * @param logprobs whether log-probabilities are wanted
   * @param alternatives to each token, of those; null: none
   */
  Sampling sampling(@Nullable Long maxTokens, boolean logprobs, @Nullable Long alternatives) {
    return Sampling.of(
        new Sampling.Input(
            fields.path(""),
            maxTokens,
            fields.real("temperature"),
            fields.real("top_p"),
            fields.whole("top_k"),
            fields.whole("seed"),
            stops(),
            tokens("stop_token_ids"),
            fields.flag("ignore_eos"),
            logprobs,
            alternatives,
            fields.real("frequency_penalty"),
            fields.real("presence_penalty"),
            fields.real("repetition_penalty"),
            fields.whole("min_tokens"),
            fields.real("min_p"),
            logitBias(),
            tokens("allowed_token_ids")));
  }

  /** A request of a call. */
  GenerationRequest request(CallHead head, String id, PromptInput prompt, Sampling sampling) {
    return new GenerationRequest(
        id, model, prompt, sampling, choices, head.salt(), head.slo(), head.tenant(), priority);
  }

  /** A whole number in a range, or what stands for none. */
  static long number(Fields fields, String name, long least, long most, long otherwise) {
    Long value = fields.whole(name);
    if (value == null) {
      return otherwise;
    }
    if (value < least || value > most) {
      throw new InvalidField(
          fields.path(name),
          "is %d; expected a whole number from %d to %d".formatted(value, least, most));
    }
    return value;
  }

  private List<String> stops() {
    JsonNode stop = fields.get("stop");
    if (stop == null) {
      return List.of();
    }
    if (stop.isTextual()) {
      return List.of(stop.textValue());
    }
    List<String> texts = new ArrayList<>();
    for (JsonNode text : fields.list("stop", "a string or a list of strings")) {
      texts.add(Fields.text(text, "%s[%d]".formatted(fields.path("stop"), texts.size())));
    }
    return texts;
  }

  private List<Long> tokens(String field) {
    if (fields.get(field) == null) {
      return List.of();
    }
    List<Long> ids = new ArrayList<>();
    for (JsonNode id : fields.list(field, "a list of token ids")) {
      ids.add(Fields.whole(id, "%s[%d]".formatted(fields.path(field), ids.size())));
    }
    return ids;
  }

  private Map<Long, Double> logitBias() {
    Fields bias = fields.object("logit_bias");
    if (bias == null) {
      return Map.of();
    }
    Map<Long, Double> asked = new LinkedHashMap<>();
    for (String token : bias.names()) {
      Double value = bias.real(token);
      if (!token.matches("[0-9]{1,10}") || value == null) {
        throw new InvalidField(
            fields.path("logit_bias"),
            "has \"%s\"; expected token ids, each with a number from -100 to 100".formatted(token));
      }
      asked.put(Long.valueOf(token), value);
    }
    return asked;
  }
}
