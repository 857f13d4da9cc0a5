package io.epidote.router.openai;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.stage.v1.CandidateToken;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.router.request.AnswerListener.Finish;
import io.epidote.router.request.AnswerListener.Piece;
import io.epidote.router.request.ServedModel;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The JSON objects of one chat completion. */
final class ChatJson implements AnswerJson {
  private static final String CHUNK = "chat.completion.chunk";
  private static final JsonNodeFactory JSON = JsonNodeFactory.instance;

  /** What a decoder writes for bytes that are no whole character. */
  private static final char REPLACEMENT = '\uFFFD';

  private final ApiCall call;
  private final ServedModel model;
  private final AnswerParts parts;

  /** Of each choice, once it is needed. Used within the request's turn. */
  private final @Nullable EventFrame[] frames;

  ChatJson(ApiCall call, ServedModel model, long createdSeconds) {
    this.call = call;
    this.model = model;
    this.parts = new AnswerParts(call, model, "chatcmpl-" + call.id(), createdSeconds);
    this.frames = new EventFrame[call.choices()];
  }

  @Override
  public byte[] deltaEvent(Piece chunk, boolean first) {
    if (first || call.logprobs()) {
      return AnswerParts.event(delta(chunk, first));
    }
    EventFrame frame = frames[chunk.choice()];
    if (frame == null) {
      frame = EventFrame.of(delta(new Piece(chunk.choice(), "", List.of()), false), "content");
      frames[chunk.choice()] = frame;
    }
    return frame.with(chunk.text());
  }

  private ObjectNode delta(Piece chunk, boolean first) {
    ObjectNode root = parts.chunk(CHUNK);
    ObjectNode choice = root.withArrayProperty("choices").addObject().put("index", chunk.choice());
    ObjectNode delta = choice.putObject("delta");
    if (first) {
      delta.put("role", "assistant");
    }
    delta.put("content", chunk.text());
    putLogprobs(choice, chunk.tokens());
    choice.putNull("finish_reason");
    return root;
  }

  @Override
  public ObjectNode finish(Finish finish) {
    ObjectNode root = parts.chunk(CHUNK);
    ObjectNode choice = root.withArrayProperty("choices").addObject().put("index", finish.choice());
    choice.putObject("delta");
    choice.putNull("logprobs");
    choice.put("finish_reason", AnswerParts.name(finish.reason()));
    if (call.timeline()) {
      root.set("timeline", TimelineJson.of(finish.timeline()));
    }
    return root;
  }

  @Override
  public ObjectNode usageChunk(List<Finish> finishes) {
    return parts.usageChunk(CHUNK, finishes);
  }

  @Override
  public ObjectNode whole(List<Piece> answers, List<Finish> finishes) {
    ObjectNode root = parts.head("chat.completion");
    ArrayNode choices = root.putArray("choices");
    for (Finish finish : finishes) {
      Piece answer = answers.get(finish.choice());
      ObjectNode choice = choices.addObject().put("index", finish.choice());
      choice
          .putObject("message")
          .put("role", "assistant")
          .put("content", answer.text())
          .putNull("refusal");
      putLogprobs(choice, answer.tokens());
      choice.put("finish_reason", AnswerParts.name(finish.reason()));
      if (call.timeline()) {
        choice.set("timeline", TimelineJson.of(finish.timeline()));
      }
    }
    root.set("usage", parts.usage(finishes));
    if (call.timeline() && !finishes.isEmpty()) {
      root.set("timeline", TimelineJson.of(finishes.getFirst().timeline()));
    }
    return root;
  }

  private void putLogprobs(ObjectNode choice, List<SampledToken> tokens) {
    if (!call.logprobs()) {
      choice.putNull("logprobs");
      return;
    }
    ArrayNode content = choice.putObject("logprobs").putArray("content");
    for (SampledToken token : tokens) {
      ObjectNode entry = logprob(token.getTokenId(), token.getLogprob());
      ArrayNode top = entry.putArray("top_logprobs");
      for (CandidateToken candidate : token.getCandidatesList()) {
        top.add(logprob(candidate.getTokenId(), candidate.getLogprob()));
      }
      content.add(entry);
    }
  }

  private ObjectNode logprob(int token, float logprob) {
    String text = model.tokenText(token);
    ObjectNode entry =
        JSON.objectNode().put("token", text).put("logprob", AnswerParts.finite(logprob));
    if (text.indexOf(REPLACEMENT) >= 0) {
      // A part of a character: its bytes are not those of the text that stands for it.
      return entry.putNull("bytes");
    }
    ArrayNode bytes = entry.putArray("bytes");
    for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
      bytes.add(Byte.toUnsignedInt(b));
    }
    return entry;
  }
}
