package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.protobuf.ByteString;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.TextPrompt;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Small random checkpoints of other families than the shipped model's, served. */
class FamiliesTest {
  private static final int TOKENS = 24;

  @TempDir Path folder;

  @Test
  void llavasAnswersAreTheSameFromFourNodesAndOne() throws Exception {
    CheckpointFixture.write(Form.LLAVA_CLIP, folder.resolve("llava"), 5);
    List<GenerateRequest> requests =
        List.of(
            request("what <image> and <image>", picture(Color.RED), picture(Color.BLUE)),
            request("what <image> and <image>", picture(Color.BLUE), picture(Color.RED)),
            request("what <image>", picture(Color.GREEN)),
            request("what"));
    assertEqualAnswers("llava", requests);
  }

  @Test
  void aModelWithoutVideosSaysSo() throws Exception {
    CheckpointFixture.write(Form.LLAVA_CLIP, folder.resolve("llava"), 5);
    try (Cluster cluster = start("llava", "EPD");
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      assertThatThrownBy(() -> client.generate(request("<video>", video(3)), text -> {}))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("takes no videos");
    }
  }

  @Test
  void answersAboutVideosAreTheSameFromFourNodesAndOne() throws Exception {
    Path model = folder.resolve("smolvlm");
    CheckpointFixture.write(Form.IDEFICS3_LLAMA, model, 5);
    ObjectNode preprocessor = CheckpointFixture.preprocessorConfig();
    preprocessor
        .putObject("video_sampling")
        .put("fps", 1)
        .put("max_frames", 8)
        .putObject("video_size")
        .put("longest_edge", 32);
    CheckpointFixture.writeJson(model.resolve("preprocessor_config.json"), preprocessor);
    assertEqualAnswers(
        "smolvlm",
        List.of(
            request("what <video>", video(3)),
            request("what <video>", video(5)),
            request("what <image> and <video>", picture(Color.RED), video(2))));
  }

  private void assertEqualAnswers(String model, List<GenerateRequest> requests) throws Exception {
    List<List<Integer>> expected;
    try (Cluster one = start(model, "EPD")) {
      expected = ask(one, requests);
      ClusterAssertions.assertNothingInUse(one, 1);
    }
    assertThat(new HashSet<>(expected)).as("different answers").hasSize(requests.size());
    try (Cluster four = start(model, "E,E,P,D")) {
      assertThat(ask(four, requests)).isEqualTo(expected);
      ClusterAssertions.assertNothingInUse(four, 4);
    }
  }

  private Cluster start(String model, String nodes) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = folder.resolve(model);
    return LocalCluster.start(options, NodeSpec.parseList(nodes), new Progress());
  }

  private static List<List<Integer>> ask(Cluster cluster, List<GenerateRequest> requests)
      throws Exception {
    List<List<Integer>> answers = new ArrayList<>();
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      for (GenerateRequest request : requests) {
        answers.add(client.generate(request, text -> {}).tokenIds());
      }
    }
    return answers;
  }

  private static GenerateRequest request(String text, Media... media) {
    return GenerateRequest.newBuilder()
        .setText(TextPrompt.newBuilder().setText(text).addAllMedia(List.of(media)))
        .setSampling(
            SamplingParams.newBuilder().setTemperature(0).setMaxTokens(TOKENS).setIgnoreEos(true))
        .build();
  }

  private static Media picture(Color color) {
    return Media.newBuilder().setData(png(color)).build();
  }

  private static Media video(int frames) {
    Media.Builder video = Media.newBuilder().setMimeType("video/jpeg");
    for (int i = 0; i < frames; i++) {
      video.addFrames(png(new Color(40 * i, 255 - 40 * i, 10)));
    }
    return video.build();
  }

  /** A square on black, so that its place shows, too. */
  private static ByteString png(Color color) {
    BufferedImage image = new BufferedImage(48, 32, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.setColor(color);
    graphics.fillRect(8, 4, 24, 24);
    graphics.dispose();
    return ByteString.copyFrom(EvalCommand.png(image));
  }
}
