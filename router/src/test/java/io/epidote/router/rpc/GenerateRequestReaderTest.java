package io.epidote.router.rpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.epidote.engine.sampling.Penalties;
import io.epidote.engine.sampling.TokenRules;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.TextPrompt;
import io.epidote.router.request.GenerationRequest;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.MediaInput;
import io.epidote.router.request.Sampling;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

class GenerateRequestReaderTest {
  private static final ByteString A = ByteString.copyFromUtf8("a");
  private static final ByteString B = ByteString.copyFromUtf8("b");

  @Test
  void mediaArePicturesUnlessTheirTypeIsAVideos() {
    assertThat(read(Media.newBuilder().setMimeType("image/gif").setData(A)))
        .isEqualTo(new MediaInput.Picture(A));
    assertThat(read(Media.newBuilder().setData(A))).isEqualTo(new MediaInput.Picture(A));
    assertThat(read(Media.newBuilder().setMimeType("video/gif").setData(A)))
        .isEqualTo(new MediaInput.Video(List.of(A), 1));
    Media.Builder frames = Media.newBuilder().setMimeType("video/jpeg").addFrames(A).addFrames(B);
    assertThat(read(frames)).isEqualTo(new MediaInput.Video(List.of(A, B), 1));
    assertThat(read(frames.setFramesPerSecond(0.5)))
        .isEqualTo(new MediaInput.Video(List.of(A, B), 0.5));
  }

  @Test
  void whatIsNoVideoIsNamed() {
    assertInvalid(
        Media.newBuilder().setMimeType("video/mp4").setData(A),
        "text.media[0].mime_type",
        "no video containers");
    assertInvalid(
        Media.newBuilder().setMimeType("image/png").addFrames(A),
        "text.media[0].frames",
        "video/jpeg alone");
    assertInvalid(
        Media.newBuilder().setMimeType("video/jpeg").addFrames(ByteString.EMPTY),
        "text.media[0]",
        "an empty frame");
    assertInvalid(
        Media.newBuilder().setMimeType("video/jpeg").addFrames(A).setFramesPerSecond(-1),
        "text.media[0]",
        "frames per second");
  }

  @Test
  void penaltiesAndLengthsAreReadAndTheirRangesChecked() {
    SamplingParams.Builder params =
        SamplingParams.newBuilder()
            .setFrequencyPenalty(-2)
            .setPresencePenalty(2)
            .setRepetitionPenalty(1.25f)
            .setMaxTokens(9)
            .setMinTokens(9);
    Sampling sampling = read(params, 0).sampling();
    assertThat(sampling.penalties()).isEqualTo(new Penalties(-2, 2, 1.25f));
    assertThat(sampling.minTokens()).isEqualTo(9);
    assertThat(read(SamplingParams.newBuilder(), 0).sampling().penalties())
        .isEqualTo(Penalties.NONE);
    assertInvalid("sampling.min_tokens", params.clone().setMinTokens(10), 1);
    assertInvalid("sampling.min_tokens", SamplingParams.newBuilder().setMinTokens(-1), 1);
    assertInvalid("sampling.frequency_penalty", params.clone().setFrequencyPenalty(Float.NaN), 1);
    assertInvalid("sampling.presence_penalty", params.clone().setPresencePenalty(2.5f), 1);
    assertInvalid("sampling.repetition_penalty", params.clone().setRepetitionPenalty(0), 1);
    assertInvalid(
        "sampling.repetition_penalty",
        params.clone().setRepetitionPenalty(Float.POSITIVE_INFINITY),
        1);
  }

  @Test
  void rulesForTokensAreReadAndTheirRangesChecked() {
    SamplingParams.Builder params =
        SamplingParams.newBuilder().setMinP(0.5f).putLogitBias(7, -100).addAllowedTokenIds(7);
    Sampling sampling = read(params, 0).sampling();
    assertThat(sampling.minP()).isEqualTo(0.5f);
    assertThat(sampling.rules()).isEqualTo(new TokenRules(Map.of(7, -100f), Set.of(7)));
    assertInvalid("sampling.min_p", params.clone().setMinP(-0.5f), 1);
    assertInvalid("sampling.logit_bias[7]", params.clone().putLogitBias(7, Float.NaN), 1);
    assertInvalid("sampling.logit_bias", params.clone().putLogitBias(-1, 1), 1);
    assertInvalid("sampling.allowed_token_ids[1]", params.clone().addAllowedTokenIds(-1), 1);
    for (int token = 0; token < 1025; token++) {
      params.putLogitBias(token, 1);
    }
    assertInvalid("sampling.logit_bias", params, 1);
  }

  @Test
  void severalAnswersMayBeAskedFor() {
    SamplingParams.Builder params = SamplingParams.newBuilder();
    assertThat(read(params, 0).choices()).isEqualTo(1);
    assertThat(read(params, 8).choices()).isEqualTo(8);
    assertInvalid("n", params, 9);
    assertInvalid("n", params, -1);
  }

  private static void assertInvalid(String path, SamplingParams.Builder params, int n) {
    assertThatThrownBy(() -> read(params, n))
        .isInstanceOfSatisfying(
            InvalidField.class, error -> assertThat(error.path()).isEqualTo(path));
  }

  private static GenerationRequest read(SamplingParams.Builder params, int n) {
    return GenerateRequestReader.read(
        GenerateRequest.newBuilder()
            .setText(TextPrompt.newBuilder().setText("x"))
            .setSampling(params)
            .setN(n)
            .build());
  }

  private static void assertInvalid(Media.Builder media, String path, String words) {
    assertThatThrownBy(() -> read(media))
        .isInstanceOfSatisfying(
            InvalidField.class, error -> assertThat(error.path()).isEqualTo(path))
        .hasMessageContaining(words);
  }

  private static MediaInput read(Media.Builder media) {
    return GenerateRequestReader.read(
            GenerateRequest.newBuilder()
                .setText(TextPrompt.newBuilder().setText("x").addMedia(media))
                .build())
        .prompt()
        .media()
        .getFirst();
  }
}
