package io.epidote.router;

import static io.epidote.router.TestCluster.ask;
import static io.epidote.router.TestCluster.askPicture;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.router.ScriptedNode.Fail;
import io.epidote.router.ScriptedNode.Step;
import io.grpc.Status;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The page and its JSON over HTTP. */
class StatusPageTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String SECRET = "zirconium";

  private static TestCluster cluster;

  @BeforeAll
  static void start() throws Exception {
    cluster = TestCluster.start();
  }

  @AfterEach
  void reset() {
    cluster.nodes().forEach(ScriptedNode::reset);
  }

  @AfterAll
  static void stop() {
    cluster.close();
  }

  private static JsonNode json(String path) throws Exception {
    HttpResponse<String> response = cluster.get(path);
    assertThat(response.statusCode()).as(response.body()).isEqualTo(200);
    assertThat(response.headers().firstValue("content-type")).hasValue("application/json");
    assertThat(response.headers().firstValue("cache-control")).hasValue("no-store");
    return JSON.readTree(response.body());
  }

  private static JsonNode ended(String id) throws Exception {
    JsonNode requests = json("/epidote/v1/requests").path("requests");
    for (JsonNode request : requests) {
      if (request.path("id").asText().equals(id)) {
        return request;
      }
    }
    throw new AssertionError("No request " + id + " in " + requests);
  }

  @Test
  void everyFileThatThePageNamesIsThere() throws Exception {
    HttpResponse<String> page = cluster.get("/");
    assertThat(page.statusCode()).isEqualTo(200);
    assertThat(page.headers().firstValue("content-type")).hasValue("text/html; charset=utf-8");
    assertThat(page.headers().firstValue("x-content-type-options")).hasValue("nosniff");
    assertThat(page.headers().firstValue("content-security-policy").orElseThrow())
        .contains("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'")
        .doesNotContain("unsafe", "http", "*");
    List<String> files = named(page.body(), "(?:src|href)=\"(/[^\"]+)\"");
    assertThat(files).hasSizeGreaterThanOrEqualTo(3);
    for (String file : files) {
      assertThat(cluster.get(file).statusCode()).as(file).isEqualTo(200);
    }
    List<String> modules = named(cluster.get("/epidote/page/main.js").body(), "'\\./([^']+)'");
    assertThat(modules).hasSizeGreaterThanOrEqualTo(5);
    for (String module : modules) {
      HttpResponse<String> script = cluster.get("/epidote/page/" + module);
      assertThat(script.statusCode()).as(module).isEqualTo(200);
      assertThat(script.headers().firstValue("content-type").orElseThrow())
          .startsWith("text/javascript");
      // No inline styles or markup made of text, which the policy is there against.
      assertThat(script.body()).doesNotContain("innerHTML", "eval(", "http://localhost", "//cdn");
    }
  }

  private static List<String> named(String text, String pattern) {
    return Pattern.compile(pattern)
        .matcher(text)
        .results()
        .map((MatchResult m) -> m.group(1))
        .toList();
  }

  @Test
  void nothingElseIsServed() throws Exception {
    for (String path :
        List.of(
            "/epidote/page/",
            "/epidote/page/../../Router.class",
            "/epidote/page/StatusPage.class",
            "/epidote/page/main.js/",
            "/epidote",
            "/index.html",
            "/epidote/v1/")) {
      assertThat(cluster.get(path).statusCode()).as(path).isEqualTo(404);
    }
    HttpResponse<String> posted =
        cluster.http.send(
            HttpRequest.newBuilder(cluster.uri("/epidote/v1/cluster"))
                .POST(HttpRequest.BodyPublishers.ofString("{}"))
                .build(),
            HttpResponse.BodyHandlers.ofString());
    assertThat(posted.statusCode()).isEqualTo(405);
    assertThat(posted.headers().firstValue("allow")).hasValue("GET");
  }

  @Test
  void theClusterIsTold() throws Exception {
    JsonNode told = json("/epidote/v1/cluster");
    assertThat(told.path("model").asText()).isEqualTo("test-model");
    assertThat(told.path("models")).extracting(JsonNode::asText).containsExactly("test-model");
    assertThat(told.path("ready").asBoolean()).isTrue();
    assertThat(told.path("max_body_bytes").asInt()).isEqualTo(256 << 10);
    assertThat(told.path("targets")).isEmpty();
    assertThat(told.path("nodes"))
        .extracting(node -> node.path("id").asText() + " " + node.at("/stages/0").asText())
        .containsExactly("d1 decode", "e1 encode", "p1 prefill");
    assertThat(told.path("nodes"))
        .allSatisfy(node -> {
          assertThat(node.path("address").asText()).startsWith("127.0.0.1:");
          assertThat(node.path("draining").asBoolean()).isFalse();
        });
    assertThat(told.at("/nodes/0/kv/total").asInt()).isEqualTo(ScriptedNode.KV_BLOCKS);
    // The first look of the role controller is a second after the start.
    await()
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(() ->
            assertThat(json("/epidote/v1/cluster").at("/roles/verdict").asText()).isNotEmpty());
  }

  @Test
  void aRequestIsToldWithoutWhatWasAskedAndAnswered() throws Exception {
    cluster.decode.answer = "answer " + SECRET;
    HttpResponse<String> response =
        cluster.chat(
            askPicture(3, ",\"max_tokens\":30").replace("what is it", SECRET),
            "x-request-id",
            "told-1",
            "x-epidote-slo-ttft-ms",
            "20000");
    assertThat(response.statusCode()).isEqualTo(200);
    JsonNode request = ended("told-1");
    assertThat(request.path("outcome").asText()).isEqualTo("stop");
    assertThat(request.path("media").asInt()).isEqualTo(1);
    assertThat(request.path("prompt_tokens").asInt()).isEqualTo(6 + SECRET.length());
    assertThat(request.path("answer_tokens").asInt()).isPositive();
    assertThat(request.path("on_target").asBoolean()).isTrue();
    assertThat(request.path("ttft_ms").asDouble())
        .isPositive()
        .isLessThanOrEqualTo(request.path("total_ms").asDouble());
    assertThat(request.at("/timelines/0/topology").asText()).isEqualTo("E+P+D");
    assertThat(request.at("/timelines/0/stages"))
        .extracting(stage -> stage.path("stage").asText())
        .containsExactly("encode", "prefill", "decode");
    for (String path :
        List.of("/epidote/v1/cluster", "/epidote/v1/requests", "/epidote/v1/history")) {
      assertThat(cluster.get(path).body()).doesNotContain(SECRET, "answer \"");
    }
  }

  @Test
  void failuresAndMistakesAreToldByKind() throws Exception {
    cluster.prefill.script.put(Step.FIRST_TOKEN, new Fail(Status.INTERNAL.withDescription(SECRET)));
    cluster.chat(ask("hi", ""), "x-request-id", "failed-1");
    assertThat(ended("failed-1").path("outcome").asText()).isIn("internal", "unavailable");
    cluster.chat(ask("x".repeat(500), ""), "x-request-id", "long-1");
    JsonNode tooLong = ended("long-1");
    assertThat(tooLong.path("outcome").asText()).isEqualTo("invalid");
    assertThat(tooLong.has("ttft_ms")).isFalse();
    assertThat(tooLong.at("/timelines/0/stages")).isEmpty();
    assertThat(cluster.get("/epidote/v1/requests").body()).doesNotContain(SECRET, "xxx");
  }

  @Test
  void onlyWhatIsNewIsSent() throws Exception {
    cluster.chat(ask("hi", ""));
    long last = json("/epidote/v1/requests").path("last").asLong();
    assertThat(json("/epidote/v1/requests?after=" + last).path("requests")).isEmpty();
    cluster.chat(ask("hi", ""));
    assertThat(json("/epidote/v1/requests?after=" + last).path("requests")).hasSize(1);
    HttpResponse<String> wrong = cluster.get("/epidote/v1/requests?after=yesterday");
    assertThat(wrong.statusCode()).isEqualTo(400);
    assertThat(wrong.body()).contains("after", "expected");
    await()
        .atMost(Duration.ofSeconds(30))
        .untilAsserted(() -> {
          int ended = 0;
          for (JsonNode point : json("/epidote/v1/history?after=0").path("points")) {
            ended += point.path("ended").asInt();
          }
          assertThat(ended).isGreaterThanOrEqualTo(2);
        });
  }

  @Test
  void aRouterWithoutAPageHasNone() throws Exception {
    RouterConfig config =
        RouterConfig.of(Path.of("unused"), Path.of("unused"), "test").page(false).build();
    try (Router router = Router.start(config, new TestModel())) {
      for (String path : List.of("/", "/epidote/v1/cluster", "/epidote/page/main.js")) {
        HttpResponse<String> response =
            cluster.http.send(
                HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + router.httpPort() + path))
                    .build(),
                HttpResponse.BodyHandlers.ofString());
        assertThat(response.statusCode()).as(path).isEqualTo(404);
      }
    }
  }
}
