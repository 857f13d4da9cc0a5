package io.epidote.router.request;

import io.epidote.engine.sampling.Penalties;
import io.epidote.engine.sampling.TokenRules;
import io.epidote.proto.v1.SamplingParams;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;
import org.jspecify.annotations.Nullable;

/**
 * Sampling parameters, their ranges checked and their defaults filled in.
 *
 * @param maxTokens most tokens to generate; more than the prompt leaves of the context is cut to
 *     that, more than the context itself is refused
 * @param seed always explicit, so that any node can continue the stream
 * @param stopTokens an answer ends before the first of these tokens
 * @param logprobs alternatives to report per token, or -1 for no log-probabilities
 * @param penalties on tokens that were there before
 * @param minTokens of the answer before it may end by itself
 * @param minP share of the likeliest token's probability below which none is drawn
 * @param rules for single tokens; whether the model has these is not checked here
 */
public record Sampling(
    int maxTokens,
    float temperature,
    float topP,
    int topK,
    long seed,
    List<String> stop,
    Set<Integer> stopTokens,
    boolean ignoreEos,
    int logprobs,
    Penalties penalties,
    int minTokens,
    float minP,
    TokenRules rules) {

  /** {@link #maxTokens} when the caller did not say. */
  static final int AS_MANY_AS_FIT = Integer.MAX_VALUE;

  static final int MAX_STOPS = 16;
  static final int MAX_STOP_CHARS = 256;
  static final int MAX_STOP_TOKENS = 64;
  static final int MAX_ALTERNATIVES = 20;
  static final int MAX_RULES = 1024;

  public Sampling {
    stop = List.copyOf(stop);
    stopTokens = Set.copyOf(stopTokens);
  }

  /**
   * Parameters as a client sent them; null where it did not.
   *
   * @param prefix of the fields' names in messages, empty or with a dot at its end
   */
  public record Input(
      String prefix,
      @Nullable Long maxTokens,
      @Nullable Double temperature,
      @Nullable Double topP,
      @Nullable Long topK,
      @Nullable Long seed,
      List<String> stop,
      List<Long> stopTokens,
      boolean ignoreEos,
      boolean logprobs,
      @Nullable Long topLogprobs,
      @Nullable Double frequencyPenalty,
      @Nullable Double presencePenalty,
      @Nullable Double repetitionPenalty,
      @Nullable Long minTokens,
      @Nullable Double minP,
      Map<Long, Double> logitBias,
      List<Long> allowedTokens) {}

  /**
   * Checks every range.
   *
   * @throws InvalidField naming the field, its value and the range
   */
  public static Sampling of(Input input) {
    String prefix = input.prefix();
    int maxTokens =
        (int) whole(prefix + "max_tokens", input.maxTokens(), 1, Integer.MAX_VALUE, AS_MANY_AS_FIT);
    return new Sampling(
        maxTokens,
        (float) real(prefix + "temperature", input.temperature(), 0, 2, true, 1),
        (float) real(prefix + "top_p", input.topP(), 0, 1, false, 1),
        (int) whole(prefix + "top_k", input.topK(), 0, Integer.MAX_VALUE, 0),
        input.seed() != null ? input.seed() : ThreadLocalRandom.current().nextLong(),
        stops(prefix + "stop", input.stop()),
        tokens(prefix + "stop_token_ids", input.stopTokens(), MAX_STOP_TOKENS),
        input.ignoreEos(),
        alternatives(input),
        new Penalties(
            (float) real(prefix + "frequency_penalty", input.frequencyPenalty(), -2, 2, true, 0),
            (float) real(prefix + "presence_penalty", input.presencePenalty(), -2, 2, true, 0),
            repetition(prefix + "repetition_penalty", input.repetitionPenalty())),
        minTokens(prefix + "min_tokens", input.minTokens(), maxTokens),
        (float) real(prefix + "min_p", input.minP(), 0, 1, true, 0),
        new TokenRules(
            bias(prefix + "logit_bias", input.logitBias()),
            tokens(prefix + "allowed_token_ids", input.allowedTokens(), MAX_RULES)));
  }

  private static Map<Integer, Float> bias(String field, Map<Long, Double> asked) {
    if (asked.size() > MAX_RULES) {
      throw new InvalidField(
          field, "has %d tokens; expected at most %d".formatted(asked.size(), MAX_RULES));
    }
    Map<Integer, Float> bias = new HashMap<>();
    asked.forEach((token, value) ->
        bias.put(
            (int) whole(field, token, 0, Integer.MAX_VALUE, 0),
            (float) real("%s[%d]".formatted(field, token), value, -100, 100, true, 0)));
    return bias;
  }

  private static float repetition(String field, @Nullable Double value) {
    if (value == null) {
      return Penalties.NONE.repetition();
    }
    float penalty = value.floatValue();
    if (!(penalty > 0) || Float.isInfinite(penalty)) {
      throw new InvalidField(
          field, "is %s; expected a number over 0, such as 1.1".formatted(value));
    }
    return penalty;
  }

  private static int minTokens(String field, @Nullable Long value, int maxTokens) {
    int least = (int) whole(field, value, 0, Integer.MAX_VALUE, 0);
    if (least > maxTokens) {
      throw new InvalidField(
          field,
          "is %d, but max_tokens is %d; lower one or raise the other".formatted(least, maxTokens));
    }
    return least;
  }

  /**
   * As the stages are told. Stop strings are the router's business, and so are stop tokens once
   * they may be.
   *
   * @param maxTokens of the whole answer, cut to what the context leaves
   * @param sent tokens of the answer that need not be made any more
   */
  SamplingParams toProto(int maxTokens, int sent, int choice) {
    SamplingParams.Builder params =
        SamplingParams.newBuilder()
            .setMaxTokens(maxTokens - sent)
            .setTemperature(temperature)
            .setTopP(topP)
            .setTopK(topK)
            .setSeed(seed + choice)
            .setIgnoreEos(ignoreEos)
            .setLogprobs(logprobs >= 0);
    params
        .setTopLogprobs(Math.max(0, logprobs))
        .setFrequencyPenalty(penalties.frequency())
        .setPresencePenalty(penalties.presence())
        .setMinP(minP)
        .putAllLogitBias(rules.bias())
        .addAllAllowedTokenIds(rules.allowed());
    if (penalties.countsPrompt()) {
      params.setRepetitionPenalty(penalties.repetition());
    }
    if (minTokens > sent) {
      params.setMinTokens(minTokens - sent).addAllStopTokenIds(stopTokens);
    }
    return params.build();
  }

  private static int alternatives(Input input) {
    String field = input.prefix() + "top_logprobs";
    long count = whole(field, input.topLogprobs(), 0, MAX_ALTERNATIVES, 0);
    if (count > 0 && !input.logprobs()) {
      throw new InvalidField(
          field, "is %d, but logprobs is not true; set logprobs, too".formatted(count));
    }
    return input.logprobs() ? (int) count : -1;
  }

  private static List<String> stops(String field, List<String> stops) {
    if (stops.size() > MAX_STOPS) {
      throw new InvalidField(
          field, "has %d texts; expected at most %d".formatted(stops.size(), MAX_STOPS));
    }
    for (int i = 0; i < stops.size(); i++) {
      int length = stops.get(i).length();
      if (length == 0 || length > MAX_STOP_CHARS) {
        throw new InvalidField(
            "%s[%d]".formatted(field, i),
            "has %d characters; expected 1 to %d".formatted(length, MAX_STOP_CHARS));
      }
    }
    return stops;
  }

  private static Set<Integer> tokens(String field, List<Long> ids, int most) {
    if (ids.size() > most) {
      throw new InvalidField(
          field, "has %d tokens; expected at most %d".formatted(ids.size(), most));
    }
    Set<Integer> tokens = new HashSet<>();
    for (int i = 0; i < ids.size(); i++) {
      tokens.add((int) whole("%s[%d]".formatted(field, i), ids.get(i), 0, Integer.MAX_VALUE, 0));
    }
    return tokens;
  }

  private static long whole(
      String field, @Nullable Long value, long least, long most, long otherwise) {
    if (value == null) {
      return otherwise;
    }
    if (value < least || value > most) {
      throw new InvalidField(
          field, "is %d; expected a whole number from %d to %d".formatted(value, least, most));
    }
    return value;
  }

  private static double real(
      String field,
      @Nullable Double value,
      double least,
      double most,
      boolean withLeast,
      double otherwise) {
    if (value == null) {
      return otherwise;
    }
    boolean inside = (withLeast ? value >= least : value > least) && value <= most;
    // A tiny positive double may still be zero as the float that the stages get.
    if (!inside || (!withLeast && value.floatValue() == 0f)) {
      throw new InvalidField(
          field,
          "is %s; expected a number %s %s to %s"
              .formatted(value, withLeast ? "from" : "over", (int) least, (int) most));
    }
    return value;
  }
}
