package io.epidote.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.Collectors;

/**
 * Bodies of streaming requests whose prompts are random, so that no cache knows them. Safe for use
 * by many threads.
 */
final class ServeRequests {
  /** How a server takes a prompt. */
  enum Api {
    /** A chat of one turn, in words {@code w0}, {@code w1}, ... as a shape's tokenizer has them. */
    CHAT("/v1/chat/completions"),
    /** Token ids, which need no tokenizer. */
    COMPLETIONS("/v1/completions");

    private final String path;

    Api(String path) {
      this.path = path;
    }

    String path() {
      return path;
    }
  }

  /** Ids below are special tokens in most vocabularies. */
  private static final int FIRST_WORD = 16;

  private final Api api;
  private final int inputTokens;
  private final int outputTokens;
  private final int vocabulary;
  private final SplittableRandom random;

  ServeRequests(Api api, int inputTokens, int outputTokens, int vocabulary, long seed) {
    this.api = api;
    this.inputTokens = inputTokens;
    this.outputTokens = outputTokens;
    this.vocabulary = vocabulary;
    this.random = new SplittableRandom(seed);
  }

  Api api() {
    return api;
  }

  /** The JSON of the next request. */
  String next() {
    int[] ids;
    synchronized (random) {
      ids = random.ints(inputTokens, Math.min(FIRST_WORD, vocabulary - 1), vocabulary).toArray();
    }
    ObjectNode body =
        JsonNodeFactory.instance
            .objectNode()
            .put("max_tokens", outputTokens)
            .put("temperature", 0)
            .put("ignore_eos", true)
            .put("stream", true);
    body.putObject("stream_options").put("include_usage", true);
    switch (api) {
      case CHAT ->
          body.putArray("messages")
              .addObject()
              .put("role", "user")
              .put(
                  "content",
                  Arrays.stream(ids).mapToObj(id -> "w" + id).collect(Collectors.joining(" ")));
      case COMPLETIONS -> {
        ArrayNode prompt = body.putArray("prompt");
        for (int id : ids) {
          prompt.add(id);
        }
      }
    }
    return body.toString();
  }
}
