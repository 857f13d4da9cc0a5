package io.epidote.node.wire;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.kernel.AttentionShape;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.sampling.Penalties;
import io.epidote.engine.sampling.SamplingOptions;
import io.epidote.engine.sampling.TokenRules;
import io.epidote.proto.v1.FinishReason;
import io.epidote.proto.v1.SamplingParams;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

final class SamplingMessagesTest {
  private static final DecoderShape SHAPE =
      new DecoderShape(
          2,
          new AttentionShape(
              1,
              1,
              4,
              4,
              0.5f,
              new AttentionShape.Rotation(0, 0, new float[0], new float[0]),
              layer -> 256),
          8,
          97,
          256);

  private static SamplingOptions options(SamplingParams.Builder params, int promptTokens) {
    return SamplingMessages.options(params.build(), promptTokens, SHAPE);
  }

  @Test
  void absentFieldsTakeTheDefaultsOfTheContract() {
    assertThat(options(SamplingParams.newBuilder(), 56))
        .isEqualTo(new SamplingOptions(200, 1f, 1f, 0, 0, false, -1));
  }

  @Test
  void maxTokensNeverExceedsWhatTheContextLeaves() {
    assertThat(options(SamplingParams.newBuilder().setMaxTokens(1000), 250).maxTokens())
        .isEqualTo(6);
    // The largest uint32.
    assertThat(options(SamplingParams.newBuilder().setMaxTokens(-1), 250).maxTokens()).isEqualTo(6);
    assertThat(options(SamplingParams.newBuilder().setMaxTokens(1 << 31), 250).maxTokens())
        .isEqualTo(6);
  }

  @Test
  void penaltiesAndShortestLengthsAreTaken() {
    SamplingOptions options =
        options(
            SamplingParams.newBuilder()
                .setFrequencyPenalty(0.5f)
                .setPresencePenalty(-2)
                .setRepetitionPenalty(1.5f)
                .setMinTokens(-1)
                .addStopTokenIds(7)
                .addStopTokenIds(7),
            56);
    assertThat(options.penalties()).isEqualTo(new Penalties(0.5f, -2, 1.5f));
    assertThat(options.minTokens()).isEqualTo(Integer.MAX_VALUE);
    assertThat(options.stopTokens()).containsExactly(7);
  }

  @Test
  void rulesForTokensAreTaken() {
    SamplingOptions options =
        options(
            SamplingParams.newBuilder()
                .setMinP(0.25f)
                .putLogitBias(3, -100)
                .addAllowedTokenIds(96)
                .addAllowedTokenIds(96),
            56);
    assertThat(options.minP()).isEqualTo(0.25f);
    assertThat(options.rules()).isEqualTo(new TokenRules(Map.of(3, -100f), Set.of(96)));
    for (SamplingParams.Builder bad :
        List.of(
            SamplingParams.newBuilder().putLogitBias(97, 1),
            SamplingParams.newBuilder().putLogitBias(-1, 1),
            SamplingParams.newBuilder().addAllowedTokenIds(97))) {
      assertThatThrownBy(() -> options(bad, 10))
          .isInstanceOf(EpidoteException.InvalidRequest.class)
          .hasMessageContaining("the vocabulary has 97");
    }
  }

  @Test
  void absurdValuesAreNamed() {
    for (SamplingParams.Builder bad :
        List.of(
            SamplingParams.newBuilder().setMaxTokens(0),
            SamplingParams.newBuilder().setTemperature(-1),
            SamplingParams.newBuilder().setTemperature(Float.NaN),
            SamplingParams.newBuilder().setTopP(0),
            SamplingParams.newBuilder().setTopP(1.5f),
            SamplingParams.newBuilder().setTopK(-1),
            SamplingParams.newBuilder().setFrequencyPenalty(2.5f),
            SamplingParams.newBuilder().setPresencePenalty(Float.NaN),
            SamplingParams.newBuilder().setRepetitionPenalty(0),
            SamplingParams.newBuilder().setRepetitionPenalty(Float.POSITIVE_INFINITY),
            SamplingParams.newBuilder().setMinP(1.5f),
            SamplingParams.newBuilder().putLogitBias(3, Float.NaN),
            SamplingParams.newBuilder().putLogitBias(3, 101),
            SamplingParams.newBuilder().setLogprobs(true).setTopLogprobs(21))) {
      assertThatThrownBy(() -> options(bad, 10))
          .isInstanceOf(EpidoteException.InvalidRequest.class)
          .hasMessageContaining("expected");
    }
    assertThatThrownBy(() -> options(SamplingParams.newBuilder(), 256))
        .isInstanceOf(EpidoteException.InvalidRequest.class)
        .hasMessageContaining("256");
  }

  @Test
  void anAnswerEndsAtEndOfSequenceUnlessIgnoredAndAtItsLength() {
    SamplingOptions options = options(SamplingParams.newBuilder().setMaxTokens(3), 10);
    SamplingOptions ignoring =
        options(SamplingParams.newBuilder().setMaxTokens(3).setIgnoreEos(true), 10);
    assertThat(SamplingMessages.finish(2, 1, options, Set.of(2)))
        .isEqualTo(FinishReason.FINISH_REASON_STOP);
    assertThat(SamplingMessages.finish(2, 1, ignoring, Set.of(2)))
        .isEqualTo(FinishReason.FINISH_REASON_UNSPECIFIED);
    assertThat(SamplingMessages.finish(1, 3, ignoring, Set.of(2)))
        .isEqualTo(FinishReason.FINISH_REASON_LENGTH);
  }
}
