package io.epidote.router.openai;

import com.fasterxml.jackson.core.io.JsonStringEncoder;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.stage.v1.CandidateToken;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.Usage;
import io.epidote.router.request.AnswerListener;
import io.epidote.router.request.ServedModel;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The JSON objects of one chat completion, streamed or not. */
final class ChatJson {
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  private final ChatCall call;
  private final ServedModel model;
  private final long createdSeconds;

  /** Of each choice, once it is needed. Used within the request's turn. */
  private final @Nullable Frame[] frames;

  ChatJson(ChatCall call, ServedModel model, long createdSeconds) {
    this.call = call;
    this.model = model;
    this.createdSeconds = createdSeconds;
    this.frames = new Frame[call.request().choices()];
  }

  /**
   * A chunk with new text, as a server-sent event. All but the text of an answer's chunks after its
   * first is the same; it is written once.
   */
  byte[] deltaEvent(AnswerListener.Piece chunk, boolean first) {
    if (first || call.logprobs()) {
      return event(delta(chunk, first));
    }
    Frame frame = frames[chunk.choice()];
    if (frame == null) {
      frame = Frame.of(delta(new AnswerListener.Piece(chunk.choice(), "", List.of()), false));
      frames[chunk.choice()] = frame;
    }
    return frame.with(chunk.text());
  }

  /** A server-sent event. */
  static byte[] event(ObjectNode json) {
    return ("data: " + json + "\n\n").getBytes(StandardCharsets.UTF_8);
  }

  /** An event without its text. */
  private record Frame(byte[] before, byte[] after) {
    private static final String EMPTY = "\"content\":\"\"";

    static Frame of(ObjectNode empty) {
      String whole = new String(event(empty), StandardCharsets.UTF_8);
      int text = whole.indexOf(EMPTY) + EMPTY.length() - 1;
      return new Frame(
          whole.substring(0, text).getBytes(StandardCharsets.UTF_8),
          whole.substring(text).getBytes(StandardCharsets.UTF_8));
    }

    byte[] with(String text) {
      StringBuilder quoted = new StringBuilder(text.length() + 8);
      JsonStringEncoder.getInstance().quoteAsString(text, quoted);
      byte[] middle = quoted.toString().getBytes(StandardCharsets.UTF_8);
      byte[] whole = Arrays.copyOf(before, before.length + middle.length + after.length);
      System.arraycopy(middle, 0, whole, before.length, middle.length);
      System.arraycopy(after, 0, whole, before.length + middle.length, after.length);
      return whole;
    }
  }

  /** A chunk with new text. */
  private ObjectNode delta(AnswerListener.Piece chunk, boolean first) {
    ObjectNode root = chunk();
    ObjectNode choice = root.withArrayProperty("choices").addObject().put("index", chunk.choice());
    ObjectNode delta = choice.putObject("delta");
    if (first) {
      delta.put("role", "assistant");
    }
    delta.put("content", chunk.text());
    if (call.logprobs()) {
      choice.putObject("logprobs").set("content", logprobs(chunk.tokens()));
    } else {
      choice.putNull("logprobs");
    }
    choice.putNull("finish_reason");
    return root;
  }

  /** The chunk that says why an answer ended. */
  ObjectNode finish(AnswerListener.Finish finish) {
    ObjectNode root = chunk();
    ObjectNode choice = root.withArrayProperty("choices").addObject().put("index", finish.choice());
    choice.putObject("delta");
    choice.putNull("logprobs");
    choice.put("finish_reason", name(finish.reason()));
    if (call.timeline()) {
      root.set("timeline", TimelineJson.of(finish.timeline()));
    }
    return root;
  }

  /** The last chunk, of a client that asked for it. */
  ObjectNode usageChunk(List<AnswerListener.Finish> finishes) {
    ObjectNode root = head("chat.completion.chunk");
    root.putArray("choices");
    root.set("usage", usage(finishes));
    return root;
  }

  /** The whole completion at once; {@code answers} holds text and tokens of each choice. */
  ObjectNode completion(List<AnswerListener.Piece> answers, List<AnswerListener.Finish> finishes) {
    ObjectNode root = head("chat.completion");
    ArrayNode choices = root.putArray("choices");
    for (AnswerListener.Finish finish : finishes) {
      AnswerListener.Piece answer = answers.get(finish.choice());
      ObjectNode choice = choices.addObject().put("index", finish.choice());
      choice
          .putObject("message")
          .put("role", "assistant")
          .put("content", answer.text())
          .putNull("refusal");
      if (call.logprobs()) {
        choice.putObject("logprobs").set("content", logprobs(answer.tokens()));
      } else {
        choice.putNull("logprobs");
      }
      choice.put("finish_reason", name(finish.reason()));
      if (call.timeline()) {
        choice.set("timeline", TimelineJson.of(finish.timeline()));
      }
    }
    root.set("usage", usage(finishes));
    if (call.timeline() && !finishes.isEmpty()) {
      root.set("timeline", TimelineJson.of(finishes.getFirst().timeline()));
    }
    return root;
  }

  private ObjectNode chunk() {
    ObjectNode root = head("chat.completion.chunk");
    if (call.includeUsage()) {
      // OpenAI's clients expect the field in every chunk once it is asked for.
      root.putNull("usage");
    }
    return root;
  }

  private ObjectNode head(String object) {
    return JSON.objectNode()
        .put("id", "chatcmpl-" + call.request().id())
        .put("object", object)
        .put("created", createdSeconds)
        .put("model", call.request().shownModel(model.name()));
  }

  private static String name(FinishReason reason) {
    return switch (reason) {
      case FINISH_REASON_STOP -> "stop";
      case FINISH_REASON_LENGTH -> "length";
      case FINISH_REASON_ABORT -> "abort";
      case FINISH_REASON_UNSPECIFIED, UNRECOGNIZED -> "unknown";
    };
  }

  private static ObjectNode usage(List<AnswerListener.Finish> finishes) {
    Usage first = finishes.isEmpty() ? Usage.getDefaultInstance() : finishes.getFirst().usage();
    int completion = finishes.stream().mapToInt(f -> f.usage().getCompletionTokens()).sum();
    ObjectNode usage =
        JSON.objectNode()
            .put("prompt_tokens", first.getPromptTokens())
            .put("completion_tokens", completion)
            .put("total_tokens", first.getPromptTokens() + completion);
    usage.putObject("prompt_tokens_details").put("media_tokens", first.getMediaTokens());
    return usage;
  }

  private ArrayNode logprobs(List<SampledToken> tokens) {
    ArrayNode content = JSON.arrayNode();
    for (SampledToken token : tokens) {
      ObjectNode entry = logprob(token.getTokenId(), token.getLogprob());
      ArrayNode top = entry.putArray("top_logprobs");
      for (CandidateToken candidate : token.getCandidatesList()) {
        top.add(logprob(candidate.getTokenId(), candidate.getLogprob()));
      }
      content.add(entry);
    }
    return content;
  }

  private ObjectNode logprob(int token, float logprob) {
    String text = model.tokenText(token);
    ObjectNode entry = JSON.objectNode().put("token", text);
    // JSON has no infinity; OpenAI writes this for a token that cannot be.
    entry.put("logprob", Float.isFinite(logprob) ? logprob : -9999f);
    ArrayNode bytes = entry.putArray("bytes");
    for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
      bytes.add(Byte.toUnsignedInt(b));
    }
    return entry;
  }
}
