package io.epidote.router.openai;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.proto.stage.v1.CandidateToken;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.router.request.AnswerListener.Finish;
import io.epidote.router.request.AnswerListener.Piece;
import io.epidote.router.request.PromptInput;
import io.epidote.router.request.ServedModel;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The JSON objects of one text completion. */
final class CompletionJson implements AnswerJson {
  private static final String OBJECT = "text_completion";

  private final ApiCall call;
  private final ServedModel model;
  private final AnswerParts parts;

  /** Of each choice, once it is needed. */
  private final @Nullable EventFrame[] frames;

  /** Characters of each choice before its next token. */
  private final int[] offsets;

  CompletionJson(ApiCall call, ServedModel model, long createdSeconds) {
    this.call = call;
    this.model = model;
    this.parts = new AnswerParts(call, model, "cmpl-" + call.id(), createdSeconds);
    this.frames = new EventFrame[call.choices()];
    this.offsets = new int[call.choices()];
  }

  @Override
  public byte[] deltaEvent(Piece chunk, boolean first) {
    if (call.logprobs() || (first && call.echo())) {
      return AnswerParts.event(delta(first ? echoed(chunk) : chunk));
    }
    EventFrame frame = frames[chunk.choice()];
    if (frame == null) {
      frame = EventFrame.of(delta(new Piece(chunk.choice(), "", List.of())), "text");
      frames[chunk.choice()] = frame;
    }
    return frame.with(chunk.text());
  }

  private ObjectNode delta(Piece chunk) {
    ObjectNode root = parts.chunk(OBJECT);
    choice(root.putArray("choices"), chunk).putNull("finish_reason");
    return root;
  }

  private ObjectNode choice(ArrayNode choices, Piece answer) {
    ObjectNode choice =
        choices.addObject().put("index", answer.choice()).put("text", answer.text());
    if (call.logprobs()) {
      choice.set("logprobs", logprobs(answer));
    } else {
      choice.putNull("logprobs");
    }
    return choice;
  }

  @Override
  public ObjectNode finish(Finish finish) {
    ObjectNode root = parts.chunk(OBJECT);
    root.putArray("choices")
        .addObject()
        .put("index", finish.choice())
        .put("text", "")
        .putNull("logprobs")
        .put("finish_reason", AnswerParts.name(finish.reason()));
    if (call.timeline()) {
      root.set("timeline", TimelineJson.of(finish.timeline()));
    }
    return root;
  }

  @Override
  public ObjectNode usageChunk(List<Finish> finishes) {
    return parts.usageChunk(OBJECT, finishes);
  }

  @Override
  public ObjectNode whole(List<Piece> answers, List<Finish> finishes) {
    ObjectNode root = parts.head(OBJECT);
    ArrayNode choices = root.putArray("choices");
    for (Finish finish : finishes) {
      ObjectNode choice = choice(choices, echoed(answers.get(finish.choice())));
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

  /** An answer's beginning with its prompt in front, when that is wanted. */
  private Piece echoed(Piece answer) {
    if (!call.echo()) {
      return answer;
    }
    String prompt =
        switch (call.requests().get(call.promptOf(answer.choice())).prompt()) {
          case PromptInput.Plain(String text, var _) -> text;
          case PromptInput.Tokens(List<Integer> ids) ->
              model.text(ids.stream().mapToInt(Integer::intValue).toArray());
          case PromptInput.Chat _ ->
              throw new IllegalArgumentException("a text completion has no chat");
        };
    return new Piece(answer.choice(), prompt + answer.text(), answer.tokens());
  }

  /** Four lists of the same length, an entry for each token. */
  private ObjectNode logprobs(Piece answer) {
    ObjectNode root = JsonNodeFactory.instance.objectNode();
    ArrayNode tokens = root.putArray("tokens");
    ArrayNode logprobs = root.putArray("token_logprobs");
    ArrayNode top = root.putArray("top_logprobs");
    ArrayNode offsets = root.putArray("text_offset");
    for (SampledToken token : answer.tokens()) {
      String text = model.tokenText(token.getTokenId());
      tokens.add(text);
      logprobs.add(AnswerParts.finite(token.getLogprob()));
      ObjectNode candidates = top.addObject().put(text, AnswerParts.finite(token.getLogprob()));
      for (CandidateToken candidate : token.getCandidatesList()) {
        // Several tokens may read the same; the one that was chosen, or likelier, stays.
        candidates.putIfAbsent(
            model.tokenText(candidate.getTokenId()),
            JsonNodeFactory.instance.numberNode(AnswerParts.finite(candidate.getLogprob())));
      }
      offsets.add(this.offsets[answer.choice()]);
      this.offsets[answer.choice()] += text.length();
    }
    return root;
  }
}
