package io.epidote.router.openai;

import io.epidote.router.request.GenerationRequest;

/**
 * A chat completion as the client wants it answered.
 *
 * @param stream in server-sent events
 * @param includeUsage a chunk with the usage at the end of a stream
 * @param logprobs whether log-probabilities are shown
 * @param timeline whether the stages' times are shown
 */
record ChatCall(
    GenerationRequest request,
    boolean stream,
    boolean includeUsage,
    boolean logprobs,
    boolean timeline) {
  /** The same call with another request. */
  ChatCall with(GenerationRequest other) {
    return new ChatCall(other, stream, includeUsage, logprobs, timeline);
  }
}
