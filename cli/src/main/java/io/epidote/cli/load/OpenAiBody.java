package io.epidote.cli.load;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

/**
 * Bodies of streamed requests.
 *
 * @param api how the server takes a prompt
 * @param model to name, empty for none
 * @param timeline whether to ask for a timeline, which only Epidote knows
 */
record OpenAiBody(Api api, String model, boolean timeline) {
  /** How a server takes a prompt. */
  enum Api {
    CHAT("/chat/completions"),
    COMPLETIONS("/completions");

    private final String path;

    Api(String path) {
      this.path = path;
    }

    /** Behind /v1. */
    String path() {
      return path;
    }
  }

  private static final ObjectMapper MAPPER = new ObjectMapper();

  byte[] of(LoadRequest request) {
    ObjectNode body = request.body() == null ? made(request) : given(request.body());
    body.put("stream", true);
    body.withObjectProperty("stream_options").put("include_usage", true);
    if (!model.isEmpty() && !body.has("model")) {
      body.put("model", model);
    }
    if (timeline) {
      body.put("timeline", true);
    }
    return body.toString().getBytes(StandardCharsets.UTF_8);
  }

  private static ObjectNode given(String body) {
    try {
      return (ObjectNode) MAPPER.readTree(body);
    } catch (IOException | ClassCastException e) {
      throw new InvalidRequest("A body of the workload is no JSON object: " + body, e);
    }
  }

  private ObjectNode made(LoadRequest request) {
    ObjectNode body = JsonNodeFactory.instance.objectNode().put("temperature", 0);
    if (request.outputTokens() > 0) {
      body.put("max_tokens", request.outputTokens()).put("ignore_eos", true);
    }
    switch (api) {
      case CHAT -> {
        ObjectNode message = body.putArray("messages").addObject().put("role", "user");
        if (request.pictures().isEmpty()) {
          message.put("content", request.text());
        } else {
          ArrayNode parts = message.putArray("content");
          for (byte[] picture : request.pictures()) {
            parts
                .addObject()
                .put("type", "image_url")
                .putObject("image_url")
                .put("url", dataUri(picture));
          }
          parts.addObject().put("type", "text").put("text", request.text());
        }
      }
      case COMPLETIONS -> {
        if (!request.pictures().isEmpty()) {
          throw new InvalidRequest("/v1/completions takes no pictures; use --api chat");
        }
        if (request.tokenIds().length == 0) {
          body.put("prompt", request.text());
        } else {
          ArrayNode prompt = body.putArray("prompt");
          for (int id : request.tokenIds()) {
            prompt.add(id);
          }
        }
      }
    }
    return body;
  }

  private static String dataUri(byte[] picture) {
    String type = picture.length > 1 && picture[1] == 'P' ? "png" : "jpeg";
    return "data:image/" + type + ";base64," + Base64.getEncoder().encodeToString(picture);
  }
}
