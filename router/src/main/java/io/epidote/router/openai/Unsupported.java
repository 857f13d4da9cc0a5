package io.epidote.router.openai;

import com.fasterxml.jackson.databind.JsonNode;
import io.epidote.router.request.InvalidField;
import java.util.List;
import java.util.function.Predicate;

/**
 * Fields of OpenAI's and vLLM's requests that would change the answer and that Epidote does not
 * have. A value that asks for nothing passes, because clients send defaults; any other one is
 * refused: an answer that silently lacks what was asked for is worse than none.
 */
final class Unsupported {
  private static final Predicate<JsonNode> NEVER = value -> false;
  private static final Predicate<JsonNode> ONE = value -> value.isNumber() && value.asDouble() == 1;
  private static final Predicate<JsonNode> EMPTY =
      value ->
          (value.isContainerNode() || value.isTextual())
              && value.isEmpty()
              && value.asText().isEmpty();
  private static final Predicate<JsonNode> FALSE =
      value -> value.isBoolean() && !value.booleanValue();
  private static final Predicate<JsonNode> TRUE =
      value -> value.isBoolean() && value.booleanValue();

  /**
   * @param harmless values that ask for nothing
   * @param instead what is missing and what to do
   */
  private record Field(String name, Predicate<JsonNode> harmless, String instead) {}

  private static final String GUIDED =
      "answers cannot be held to a form here; describe the form in the prompt";
  private static final String TOOLS =
      "there are no tool calls here; describe the tools in the prompt and read the answer's text";
  private static final String TEXT_ONLY = "answers are text here; leave it out";

  private static final List<Field> COMMON =
      List.of(
          new Field(
              "bad_words",
              EMPTY,
              "only single tokens can be kept away here; use logit_bias with -100"),
          new Field(
              "prompt_logprobs",
              NEVER,
              "only tokens of the answer have log-probabilities; leave it out"),
          new Field(
              "truncate_prompt_tokens", NEVER, "prompts are not cut here; shorten the prompt"),
          new Field("use_beam_search", FALSE, "there is no beam search here; use n"),
          new Field(
              "include_stop_str_in_output",
              FALSE,
              "answers end before a stop string; leave it out"),
          new Field("skip_special_tokens", TRUE, "answers have no special tokens; leave it out"),
          new Field("response_format", Unsupported::isText, GUIDED),
          new Field("structured_outputs", NEVER, GUIDED),
          new Field("guided_json", NEVER, GUIDED),
          new Field("guided_regex", NEVER, GUIDED),
          new Field("guided_choice", NEVER, GUIDED),
          new Field("guided_grammar", NEVER, GUIDED));

  private static final List<Field> CHAT =
      List.of(
          new Field("tools", EMPTY, TOOLS),
          new Field("tool_choice", value -> isOneOf(value, "none", "auto"), TOOLS),
          new Field("functions", EMPTY, TOOLS),
          new Field("function_call", value -> isOneOf(value, "none", "auto"), TOOLS),
          new Field("modalities", Unsupported::isListOfText, TEXT_ONLY),
          new Field("audio", NEVER, TEXT_ONLY),
          new Field("web_search_options", NEVER, "nothing is searched here; leave it out"),
          new Field(
              "chat_template",
              NEVER,
              "the model's own template is used; send the text to /v1/completions instead"),
          new Field(
              "add_generation_prompt", TRUE, "an answer is always a new turn here; leave it out"),
          new Field(
              "continue_final_message",
              FALSE,
              "an answer is always a new turn here; send the text to /v1/completions instead"),
          new Field("echo", FALSE, "only /v1/completions has echo"));

  private static final List<Field> TEXT =
      List.of(
          new Field("suffix", EMPTY, "nothing is filled in between texts here; leave it out"),
          new Field("best_of", ONE, "answers are not ranked here; use n and choose"));

  private Unsupported() {}

  /**
   * @throws InvalidField naming the first field of a chat completion that cannot be honoured
   */
  static void refuseInChat(Fields fields) {
    refuse(fields, COMMON);
    refuse(fields, CHAT);
  }

  /**
   * @throws InvalidField naming the first field of a completion that cannot be honoured
   */
  static void refuseInCompletion(Fields fields) {
    refuse(fields, COMMON);
    refuse(fields, TEXT);
  }

  private static void refuse(Fields fields, List<Field> unsupported) {
    for (Field field : unsupported) {
      JsonNode value = fields.get(field.name());
      if (value != null && !field.harmless().test(value)) {
        throw new InvalidField(
            fields.path(field.name()),
            "is %s, but %s".formatted(Fields.describe(value), field.instead()));
      }
    }
  }

  private static boolean isText(JsonNode value) {
    return value.path("type").asText().equals("text");
  }

  private static boolean isListOfText(JsonNode value) {
    return value.isArray() && value.size() == 1 && value.path(0).asText().equals("text");
  }

  private static boolean isOneOf(JsonNode value, String... words) {
    return List.of(words).contains(value.asText());
  }
}
