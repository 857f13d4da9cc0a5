package io.epidote.router.kserve;

import io.epidote.router.request.GenerationRequest;

/**
 * A request as its client wants it answered.
 *
 * @param id that comes back with responses, perhaps empty
 * @param stream piece by piece
 * @param prepended the prompt's text that stands in front of answers, perhaps empty
 */
record InferCall(
    GenerationRequest request, String id, boolean stream, String prepended, Wanted wanted) {

  /** Which outputs there are beside text_output. */
  record Wanted(
      boolean finishReason,
      boolean cumulativeLogprob,
      boolean logprobs,
      boolean inputTokens,
      boolean outputTokens) {}

  /** The same call with another request. */
  InferCall with(GenerationRequest other) {
    return new InferCall(other, id, stream, prepended, wanted);
  }

  int choices() {
    return request.choices();
  }
}
