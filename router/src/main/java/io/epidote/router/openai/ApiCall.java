package io.epidote.router.openai;

import io.epidote.router.request.GenerationRequest;
import java.util.List;
import java.util.function.UnaryOperator;

/**
 * A call as the client wants it answered.
 *
 * @param id of the call in its answer
 * @param requests one for each prompt, with the same number of choices; of a chat one
 * @param stream in server-sent events
 * @param includeUsage a chunk with the usage at the end of a stream
 * @param logprobs whether log-probabilities are shown
 * @param timeline whether the stages' times are shown
 * @param echo whether the prompt stands in front of its answers
 */
record ApiCall(
    String id,
    List<GenerationRequest> requests,
    boolean stream,
    boolean includeUsage,
    boolean logprobs,
    boolean timeline,
    boolean echo) {
  ApiCall {
    requests = List.copyOf(requests);
  }

  /** The first one; what all have in common is the same in each. */
  GenerationRequest request() {
    return requests.getFirst();
  }

  /** Of all prompts together: those of the first prompt, then those of the next. */
  int choices() {
    return requests.size() * request().choices();
  }

  /** The prompt that a choice answers. */
  int promptOf(int choice) {
    return choice / request().choices();
  }

  /** The same call with other requests. */
  ApiCall with(UnaryOperator<GenerationRequest> change) {
    return new ApiCall(
        id, requests.stream().map(change).toList(), stream, includeUsage, logprobs, timeline, echo);
  }
}
