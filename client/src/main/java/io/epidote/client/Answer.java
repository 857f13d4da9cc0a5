package io.epidote.client;

import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.OutputToken;
import io.epidote.proto.v1.Timeline;
import io.epidote.proto.v1.Usage;
import java.util.List;

/**
 * A complete answer.
 *
 * @param id of the request
 * @param model that answered, with its adapter
 * @param tokens with log-probabilities where they were asked for
 * @param reason why it ended
 * @param usage tokens of prompt and answer
 * @param timeline where the time went, by stage
 */
public record Answer(
    String id,
    String model,
    String text,
    List<OutputToken> tokens,
    FinishReason reason,
    Usage usage,
    Timeline timeline) {
  public Answer {
    tokens = List.copyOf(tokens);
  }
}
