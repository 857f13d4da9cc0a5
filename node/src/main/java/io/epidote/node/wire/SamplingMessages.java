package io.epidote.node.wire;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.sampling.Penalties;
import io.epidote.engine.sampling.SamplingOptions;
import io.epidote.engine.sampling.TokenRules;
import io.epidote.proto.stage.v1.CandidateToken;
import io.epidote.proto.stage.v1.SampledToken;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.SamplingParams;
import java.util.HashSet;
import java.util.Set;

/**
 * Sampling parameters and sampled tokens, read and written the same way by prefill and decode, so
 * that both halves of an answer agree.
 */
public final class SamplingMessages {
  private SamplingMessages() {}

  /**
   * Checks parameters and fills in the defaults of the contract. {@code maxTokens} never exceeds
   * what the context leaves.
   *
   * @throws EpidoteException.InvalidRequest when a value is out of range, or the prompt leaves no
   *     room for an answer
   */
  public static SamplingOptions options(
      SamplingParams params, int promptTokens, DecoderShape shape) {
    int room = shape.contextTokens() - promptTokens;
    check(promptTokens > 0, "The prompt is empty; expected at least one token.");
    check(
        room > 0,
        "The prompt has %d tokens, but the context holds %d including at least one of the answer; shorten the prompt.",
        promptTokens,
        shape.contextTokens());
    check(
        !params.hasMaxTokens() || params.getMaxTokens() != 0,
        "max_tokens is 0; expected at least 1.");
    float temperature = params.hasTemperature() ? params.getTemperature() : 1f;
    check(temperature >= 0 && temperature <= 2, "temperature is %s; expected 0 to 2.", temperature);
    float topP = params.hasTopP() ? params.getTopP() : 1f;
    check(topP > 0 && topP <= 1, "top_p is %s; expected over 0 and at most 1.", topP);
    check(
        params.getTopK() >= 0,
        "top_k is %s; expected 0 to %s.",
        params.getTopK(),
        Integer.MAX_VALUE);
    check(
        params.getTopLogprobs() >= 0 && params.getTopLogprobs() <= 20,
        "top_logprobs is %d; expected 0 to 20.",
        Integer.toUnsignedLong(params.getTopLogprobs()));
    float repetition = params.hasRepetitionPenalty() ? params.getRepetitionPenalty() : 1f;
    checkPenalty("frequency_penalty", params.getFrequencyPenalty());
    checkPenalty("presence_penalty", params.getPresencePenalty());
    check(
        repetition > 0 && repetition <= Float.MAX_VALUE,
        "repetition_penalty is %s; expected above 0.",
        repetition);
    check(
        params.getMinP() >= 0 && params.getMinP() <= 1,
        "min_p is %s; expected 0 to 1.",
        params.getMinP());
    params
        .getLogitBiasMap()
        .forEach((token, bias) -> {
          checkToken("logit_bias", token, shape);
          check(
              bias >= -100 && bias <= 100,
              "logit_bias of token %d is %s; expected -100 to 100.",
              token,
              bias);
        });
    params.getAllowedTokenIdsList().forEach(token -> checkToken("allowed_token_ids", token, shape));
    // uint32 on the wire: a negative int is a very large number.
    long asked = params.hasMaxTokens() ? Integer.toUnsignedLong(params.getMaxTokens()) : room;
    return new SamplingOptions(
        (int) Math.min(asked, room),
        temperature,
        topP,
        params.getTopK(),
        params.getSeed(),
        params.getIgnoreEos(),
        params.getLogprobs() ? params.getTopLogprobs() : -1,
        new Penalties(params.getFrequencyPenalty(), params.getPresencePenalty(), repetition),
        (int) Math.min(Integer.toUnsignedLong(params.getMinTokens()), Integer.MAX_VALUE),
        new HashSet<>(params.getStopTokenIdsList()),
        params.getMinP(),
        new TokenRules(params.getLogitBiasMap(), new HashSet<>(params.getAllowedTokenIdsList())));
  }

  private static void checkToken(String field, int token, DecoderShape shape) {
    check(
        token >= 0 && token < shape.vocabulary(),
        "%s names token %d; the vocabulary has %d.",
        field,
        Integer.toUnsignedLong(token),
        shape.vocabulary());
  }

  private static void checkPenalty(String field, float value) {
    check(value >= -2 && value <= 2, "%s is %s; expected -2 to 2.", field, value);
  }

  /** KV blocks of a whole sequence, prompt and longest answer. */
  public static int sequenceBlocks(int promptTokens, SamplingOptions options) {
    return DecoderShape.blocksFor(promptTokens + options.maxTokens());
  }

  /** Whether and why an answer ends after its {@code generated}-th token. */
  public static FinishReason finish(
      int tokenId, int generated, SamplingOptions options, Set<Integer> eosIds) {
    if (!options.ignoreEos() && eosIds.contains(tokenId)) {
      return FinishReason.FINISH_REASON_STOP;
    }
    return generated >= options.maxTokens()
        ? FinishReason.FINISH_REASON_LENGTH
        : FinishReason.FINISH_REASON_UNSPECIFIED;
  }

  public static SampledToken token(io.epidote.engine.sampling.SampledToken sampled) {
    SampledToken.Builder token = SampledToken.newBuilder().setTokenId(sampled.tokenId());
    if (!Float.isNaN(sampled.logprob())) {
      token.setLogprob(sampled.logprob());
    }
    for (io.epidote.engine.sampling.SampledToken.Candidate candidate : sampled.candidates()) {
      token.addCandidates(
          CandidateToken.newBuilder()
              .setTokenId(candidate.tokenId())
              .setLogprob(candidate.logprob()));
    }
    return token.build();
  }

  private static void check(boolean holds, String message, Object... arguments) {
    if (!holds) {
      throw new EpidoteException.InvalidRequest(message.formatted(arguments));
    }
  }
}
