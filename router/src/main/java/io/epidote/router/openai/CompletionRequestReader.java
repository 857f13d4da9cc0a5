package io.epidote.router.openai;

import com.fasterxml.jackson.databind.JsonNode;
import io.epidote.router.request.GenerationRequest;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.Sampling;
import io.epidote.router.request.ServedModel;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Reads the body of {@code POST /v1/completions}: one or several prompts as text or as tokens, used
 * as they are. Thread-safe.
 */
final class CompletionRequestReader {
  /** What OpenAI's completions have, too; a chat's answer has no such bound. */
  private static final long USUAL_MAX_TOKENS = 16;

  private static final int MAX_PROMPTS = 64;
  private static final int MAX_ALTERNATIVES = 20;
  private static final String EXPECTED =
      "a string, a list of strings, a list of token ids, or a list of such lists";

  private final ServedModel model;

  CompletionRequestReader(ServedModel model) {
    this.model = model;
  }

  /**
   * @throws InvalidField naming the field that must change
   */
  ApiCall read(JsonNode body, CallHead head) {
    Fields fields = Fields.of(body, "");
    List<PromptInput> prompts = prompts(fields);
    CommonFields common = new CommonFields(fields);
    Long alternatives = alternatives(fields);
    boolean echo = fields.flag("echo");
    if (echo && alternatives != null) {
      throw new InvalidField(
          fields.path("echo"),
          "is true beside logprobs, but only tokens of the answer have log-probabilities; leave one of them out");
    }
    Sampling sampling = common.sampling(maxTokens(fields), alternatives != null, alternatives);
    Unsupported.refuseInCompletion(fields);
    List<GenerationRequest> requests = new ArrayList<>();
    for (PromptInput prompt : prompts) {
      String id = prompts.size() == 1 ? head.id() : head.id() + "-" + requests.size();
      requests.add(common.request(head, id, prompt, sampling));
    }
    return new ApiCall(
        head.id(),
        requests,
        common.stream,
        common.includeUsage,
        alternatives != null,
        common.timeline,
        echo);
  }

  /** Of each token, log-probabilities to show beside its own; null: none at all. */
  static @Nullable Long alternatives(Fields fields) {
    return fields.get("logprobs") == null
        ? null
        : Long.valueOf(CommonFields.number(fields, "logprobs", 0, MAX_ALTERNATIVES, 0));
  }

  static long maxTokens(Fields fields) {
    return CommonFields.number(fields, "max_tokens", 1, Integer.MAX_VALUE, USUAL_MAX_TOKENS);
  }

  private List<PromptInput> prompts(Fields fields) {
    JsonNode prompt = fields.require("prompt", EXPECTED);
    String path = fields.path("prompt");
    if (!prompt.isArray()) {
      return List.of(prompt(prompt, path));
    }
    if (prompt.path(0).isNumber()) {
      return List.of(tokens(prompt, path));
    }
    if (prompt.isEmpty() || prompt.size() > MAX_PROMPTS) {
      throw new InvalidField(
          path, "has %d prompts; expected 1 to %d".formatted(prompt.size(), MAX_PROMPTS));
    }
    List<PromptInput> prompts = new ArrayList<>();
    for (JsonNode one : prompt) {
      prompts.add(prompt(one, "%s[%d]".formatted(path, prompts.size())));
    }
    return prompts;
  }

  private PromptInput prompt(JsonNode prompt, String path) {
    if (prompt.isArray()) {
      return tokens(prompt, path);
    }
    if (!prompt.isTextual()) {
      throw Fields.wrong(path, prompt, EXPECTED);
    }
    if (prompt.textValue().isEmpty()) {
      throw new InvalidField(path, "is empty; expected at least one token");
    }
    return new PromptInput.Plain(prompt.textValue(), List.of());
  }

  private PromptInput tokens(JsonNode prompt, String path) {
    return new PromptInput.Tokens(tokenIds(prompt, path, model));
  }

  /** A list of tokens that the model has; at least one. */
  static List<Integer> tokenIds(@Nullable JsonNode list, String path, ServedModel model) {
    if (list == null || !list.isArray() || list.isEmpty()) {
      throw new InvalidField(path, "is no list with token ids; expected at least one");
    }
    List<Integer> ids = new ArrayList<>();
    for (JsonNode id : list) {
      String place = "%s[%d]".formatted(path, ids.size());
      long value = Fields.whole(id, place);
      if (value < 0 || value >= model.vocabulary()) {
        throw new InvalidField(
            place,
            "is %d; expected a token id from 0 to %d, the last one of %s"
                .formatted(value, model.vocabulary() - 1, model.name()));
      }
      ids.add((int) value);
    }
    return ids;
  }
}
