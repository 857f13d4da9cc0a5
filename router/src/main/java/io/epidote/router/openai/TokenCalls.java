package io.epidote.router.openai;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.ServedModel;
import java.util.List;

/** {@code /tokenize} and {@code /detokenize}, as vLLM has them, for texts and chats. */
final class TokenCalls {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private final ServedModel model;
  private final ChatRequestReader chats;

  TokenCalls(ServedModel model, ChatRequestReader chats) {
    this.model = model;
    this.chats = chats;
  }

  /**
   * The tokens that a prompt, or a chat without pictures, has here.
   *
   * @throws InvalidField naming the field that must change
   */
  ObjectNode tokenize(JsonNode body) {
    Fields fields = Fields.of(body, "");
    PromptInput input;
    if (fields.get("messages") != null) {
      input = new PromptInput.Chat(chats.turns(fields));
      if (!input.media().isEmpty()) {
        throw new InvalidField(
            "messages",
            "has media, whose tokens are made when a request is answered; leave them out, or read usage of an answer");
      }
    } else {
      String text = Fields.text(fields.require("prompt", "a string, or messages"), "prompt");
      input = new PromptInput.Plain(text, List.of());
    }
    int[] ids = model.prompt(input, List.of()).tokenIds();
    ObjectNode root =
        JSON.objectNode().put("count", ids.length).put("max_model_len", model.contextTokens());
    ArrayNode tokens = root.putArray("tokens");
    boolean texts = fields.flag("return_token_strs");
    ArrayNode strings = texts ? root.putArray("token_strs") : JSON.arrayNode();
    for (int id : ids) {
      tokens.add(id);
      if (texts) {
        strings.add(model.tokenText(id));
      }
    }
    return root;
  }

  /**
   * The text of tokens, special ones by their names.
   *
   * @throws InvalidField naming the field that must change
   */
  ObjectNode detokenize(JsonNode body) {
    Fields fields = Fields.of(body, "");
    List<Integer> ids =
        CompletionRequestReader.tokenIds(fields.require("tokens", "token ids"), "tokens", model);
    return JSON.objectNode()
        .put("prompt", model.text(ids.stream().mapToInt(Integer::intValue).toArray()));
  }
}
