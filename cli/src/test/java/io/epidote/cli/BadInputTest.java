package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Base64;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Bad input through the whole cluster: the right status, a message that helps, nothing left in use,
 * and a node that still answers.
 */
@ExtendWith(FourProcesses.class)
class BadInputTest {
  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final HttpClient HTTP = HttpClient.newHttpClient();

  private final Cluster cluster;

  BadInputTest(Cluster cluster) {
    this.cluster = cluster;
  }

  @AfterEach
  void nothingStaysInUseAndTheClusterStillAnswers() throws Exception {
    ClusterAssertions.assertNothingInUse(cluster, FourProcesses.NODES.size());
    HttpResponse<String> answer =
        post(chat(picture(examplePicture()), text("describe the picture."), ""));
    assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
  }

  static Stream<Arguments> badMedia() throws IOException {
    byte[] good = examplePicture();
    byte[] huge = new byte[21 << 20];
    System.arraycopy(good, 0, huge, 0, good.length);
    return Stream.of(
        Arguments.of("empty", new byte[0], 400, "empty"),
        Arguments.of("truncated header", Arrays.copyOf(good, 20), 400, "truncated"),
        Arguments.of("truncated body", Arrays.copyOf(good, good.length * 2 / 3), 400, "truncated"),
        Arguments.of(
            "not an image", "hello, I am a text".getBytes(StandardCharsets.UTF_8), 400, "PNG"),
        Arguments.of("too many bytes", huge, 413, "20,971,520"),
        Arguments.of("a decompression bomb", bomb(), 413, "pixels"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("badMedia")
  void media(String name, byte[] bytes, int status, String says) throws Exception {
    assertError(post(chat(picture(bytes), text("describe the picture."), "")), status, says);
  }

  static Stream<Arguments> badRequests() throws IOException {
    String picture = picture(examplePicture());
    String question = text("describe the picture.");
    return Stream.of(
        Arguments.of("malformed JSON", "{\"model\": \"scenes\", ", 400, "line"),
        Arguments.of("not an object", "[1, 2]", 400, "object"),
        Arguments.of("no messages", "{\"model\": \"scenes\"}", 400, "messages"),
        Arguments.of(
            "wrong type",
            chat(picture, question, ", \"temperature\": \"hot\""),
            400,
            "temperature"),
        Arguments.of(
            "negative", chat(picture, question, ", \"max_tokens\": -5"), 400, "max_tokens"),
        Arguments.of(
            "absurd", chat(picture, question, ", \"temperature\": 1e9"), 400, "temperature"),
        Arguments.of("absurd n", chat(picture, question, ", \"n\": 100000"), 400, "n"),
        Arguments.of("out of range", chat(picture, question, ", \"top_p\": 0"), 400, "top_p"),
        Arguments.of(
            "too many tokens", chat(picture, question, ", \"max_tokens\": 100000"), 400, "context"),
        Arguments.of(
            "unknown model",
            chat(picture, question, "").replace("\"scenes\"", "\"gpt-9\""),
            404,
            "scenes"),
        Arguments.of(
            "prompt over the context",
            chat(picture, text("red circle ".repeat(2000)), ""),
            400,
            "1024"),
        Arguments.of(
            "placeholder without a picture",
            chat(picture, text("what is <image> here?"), ""),
            400,
            "<image>"),
        Arguments.of(
            "picture by address",
            chat(
                "{\"type\":\"image_url\",\"image_url\":{\"url\":\"http://example.com/a.png\"}}",
                question,
                ""),
            400,
            "data:"),
        Arguments.of(
            "bad base64",
            chat(
                "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,@@@\"}}",
                question,
                ""),
            400,
            "base64"),
        Arguments.of("unknown part", chat("{\"type\":\"smell\"}", question, ""), 400, "smell"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("badRequests")
  void request(String name, String body, int status, String says) throws Exception {
    assertError(post(body), status, says);
  }

  @Test
  void unknownPathAndWrongMethod() throws Exception {
    HttpResponse<String> path = get("/v1/nothing");
    assertError(path, 404, "/v1/nothing");
    assertError(get("/v1/chat/completions"), 405, "POST");
  }

  private static void assertError(HttpResponse<String> response, int status, String says)
      throws IOException {
    assertThat(response.statusCode()).as(response.body()).isEqualTo(status);
    JsonNode error = MAPPER.readTree(response.body()).path("error");
    assertThat(error.path("message").asText()).contains(says).hasSizeGreaterThan(20);
    assertThat(error.path("type").asText()).isNotEmpty();
  }

  private HttpResponse<String> post(String body) throws Exception {
    return HTTP.send(
        HttpRequest.newBuilder(
                URI.create("http://" + cluster.httpAddress() + "/v1/chat/completions"))
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build(),
        HttpResponse.BodyHandlers.ofString());
  }

  private HttpResponse<String> get(String path) throws Exception {
    return HTTP.send(
        HttpRequest.newBuilder(URI.create("http://" + cluster.httpAddress() + path)).build(),
        HttpResponse.BodyHandlers.ofString());
  }

  private static String chat(String picture, String text, String more) {
    return """
    {"model": "scenes", "messages": [{"role": "user", "content": [%s, %s]}]%s}\
    """
        .formatted(picture, text, more);
  }

  private static String text(String text) {
    return "{\"type\": \"text\", \"text\": \"" + text + "\"}";
  }

  private static String picture(byte[] bytes) {
    return "{\"type\": \"image_url\", \"image_url\": {\"url\": \"data:image/png;base64,"
        + Base64.getEncoder().encodeToString(bytes)
        + "\"}}";
  }

  private static byte[] examplePicture() throws IOException {
    return Files.readAllBytes(Home.model("scenes").resolve("examples/small.png"));
  }

  /** A PNG whose header promises 50,000 by 50,000 pixels in under a hundred bytes. */
  private static byte[] bomb() throws IOException {
    byte[] png = EvalCommand.png(new BufferedImage(1, 1, BufferedImage.TYPE_INT_RGB));
    ByteArrayOutputStream header = new ByteArrayOutputStream();
    DataOutputStream out = new DataOutputStream(header);
    out.writeBytes("IHDR");
    out.writeInt(50_000);
    out.writeInt(50_000);
    out.write(png, 24, 5);
    CRC32 crc = new CRC32();
    crc.update(header.toByteArray());
    out.writeInt((int) crc.getValue());
    System.arraycopy(header.toByteArray(), 0, png, 12, header.size());
    return png;
  }
}
