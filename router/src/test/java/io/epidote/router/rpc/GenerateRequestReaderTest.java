package io.epidote.router.rpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.TextPrompt;
import io.epidote.router.request.InvalidField;
import io.epidote.router.request.MediaInput;
import java.util.List;
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
