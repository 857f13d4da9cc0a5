package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.google.protobuf.ByteString;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.proto.v1.ContentPart;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.Media;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.TextPrompt;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashSet;
import java.util.List;
import java.util.stream.Collectors;
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
      HttpResponse<String> refused = chat(cluster, video(3));
      assertThat(refused.statusCode()).isEqualTo(400);
      assertThat(refused.body()).contains("takes no videos", "send pictures of it");
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
    try (Cluster cluster = start("smolvlm", "EPD");
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      assertThat(client.model().getInputsList()).containsExactly("text", "image", "video");
      GenerateRequest.Builder overGrpc = request("").toBuilder();
      overGrpc
          .getChatBuilder()
          .addMessagesBuilder()
          .setRole("user")
          .addContent(ContentPart.newBuilder().setMedia(video(3)));
      HttpResponse<String> overHttp = chat(cluster, video(3));
      assertThat(overHttp.statusCode()).as(overHttp.body()).isEqualTo(200);
      JsonNode answer = new ObjectMapper().readTree(overHttp.body());
      InferenceClient.Answer expected = client.generate(overGrpc.build(), text -> {});
      assertThat(answer.at("/choices/0/message/content").asText()).isEqualTo(expected.text());
      assertThat(answer.at("/usage/prompt_tokens_details/media_tokens").asInt())
          .isEqualTo(expected.finished().getUsage().getMediaTokens())
          .isPositive();
    }
  }

  /** Asks about a video over HTTP. */
  private static HttpResponse<String> chat(Cluster cluster, Media video) throws Exception {
    String frames =
        video.getFramesList().stream()
            .map(frame -> Base64.getEncoder().encodeToString(frame.toByteArray()))
            .collect(Collectors.joining(","));
    String body =
        """
        {"temperature": 0, "max_tokens": %d, "ignore_eos": true, "messages": [{"role": "user",
         "content": [{"type": "video_url", "video_url": {"url": "data:video/jpeg;base64,%s"}}]}]}\
        """
            .formatted(TOKENS, frames);
    try (HttpClient http = HttpClient.newHttpClient()) {
      return http.send(
          HttpRequest.newBuilder(
                  URI.create("http://" + cluster.httpAddress() + "/v1/chat/completions"))
              .POST(HttpRequest.BodyPublishers.ofString(body))
              .build(),
          HttpResponse.BodyHandlers.ofString());
    }
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
