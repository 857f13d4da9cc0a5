package io.epidote.router.openai;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Usage;
import io.epidote.router.request.AnswerListener.Finish;
import io.epidote.router.request.ServedModel;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** What the answers of chat and text completions have in common. */
final class AnswerParts {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  /** JSON has no infinity; OpenAI writes this for a token that cannot be. */
  private static final float IMPOSSIBLE = -9999f;

  private final ApiCall call;
  private final ServedModel model;
  private final String id;
  private final long createdSeconds;

  /**
   * @param id of the answer
   */
  AnswerParts(ApiCall call, ServedModel model, String id, long createdSeconds) {
    this.call = call;
    this.model = model;
    this.id = id;
    this.createdSeconds = createdSeconds;
  }

  /** A server-sent event. */
  static byte[] event(ObjectNode json) {
    return ("data: " + json + "\n\n").getBytes(StandardCharsets.UTF_8);
  }

  ObjectNode head(String object) {
    return JSON.objectNode()
        .put("id", id)
        .put("object", object)
        .put("created", createdSeconds)
        .put("model", call.request().shownModel(model.name()));
  }

  /** The beginning of a chunk that has a choice. */
  ObjectNode chunk(String object) {
    ObjectNode root = head(object);
    if (call.includeUsage()) {
      // OpenAI's clients expect the field in every chunk once it is asked for.
      root.putNull("usage");
    }
    return root;
  }

  /** A chunk without a choice. */
  ObjectNode usageChunk(String object, List<Finish> finishes) {
    ObjectNode root = head(object);
    root.putArray("choices");
    root.set("usage", usage(finishes));
    return root;
  }

  /** A prompt counts once, however many answers it has. */
  ObjectNode usage(List<Finish> finishes) {
    int prompt = 0;
    int media = 0;
    int cached = 0;
    int completion = 0;
    for (Finish finish : finishes) {
      Usage usage = finish.usage();
      completion += usage.getCompletionTokens();
      if (finish.choice() % call.request().choices() == 0) {
        prompt += usage.getPromptTokens();
        media += usage.getMediaTokens();
        cached += usage.getCachedTokens();
      }
    }
    ObjectNode root =
        JSON.objectNode()
            .put("prompt_tokens", prompt)
            .put("completion_tokens", completion)
            .put("total_tokens", prompt + completion);
    root.putObject("prompt_tokens_details").put("media_tokens", media).put("cached_tokens", cached);
    return root;
  }

  static String name(FinishReason reason) {
    return switch (reason) {
      case FINISH_REASON_STOP -> "stop";
      case FINISH_REASON_LENGTH -> "length";
      case FINISH_REASON_ABORT -> "abort";
      case FINISH_REASON_UNSPECIFIED, UNRECOGNIZED -> "unknown";
    };
  }

  /** A logarithm as JSON can have it. */
  static float finite(float logprob) {
    return Float.isFinite(logprob) ? logprob : IMPOSSIBLE;
  }
}
