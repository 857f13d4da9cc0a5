package io.epidote.planner.sim;

import io.epidote.engine.sampling.SamplingOptions;
import io.epidote.router.cluster.Placement;
import org.jspecify.annotations.Nullable;

/** A request on its way through a simulated cluster, as its router and its client see it. */
final class Flight {
  final Request request;
  final Placement placement;
  final NodeModel prefill;
  final NodeModel decode;

  /** When its client sent it, or should have. */
  final long sentAt;

  /** What it goes on with after a node was taken from it; its own beginning otherwise. */
  final Flight root;

  /** At its stages, once there. */
  @Nullable PromptModel prompt;

  @Nullable AnswerModel answer;

  /** When the client had the first token; 0 before. */
  long firstTokenAt;

  /** When the client had the last one; 0 before. */
  long endedAt;

  /**
   * @param goesOn an answer of which the request is the rest; null for a new one
   */
  Flight(
      Request request,
      Placement placement,
      NodeModel prefill,
      NodeModel decode,
      long sentAt,
      @Nullable Flight goesOn) {
    this.root = goesOn == null ? this : goesOn.root;
    this.request = request;
    this.placement = placement;
    this.prefill = prefill;
    this.decode = decode;
    this.sentAt = sentAt;
  }

  /** An answer of exactly so many tokens. */
  SamplingOptions options() {
    return new SamplingOptions(request.answerTokens(), 0, 1, 0, 0, true, -1);
  }

  boolean decodesWherePrefilled() {
    return prefill == decode;
  }
}
