package io.epidote.router;

import static io.epidote.router.TestCluster.ask;
import static io.epidote.router.TestCluster.askPicture;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.router.ScriptedNode.Fail;
import io.epidote.router.ScriptedNode.Stall;
import io.epidote.router.ScriptedNode.Step;
import io.grpc.Status;
import java.io.IOException;
import java.net.Socket;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** OpenAI HTTP from the socket to the stages and back. */
class HttpFrontDoorTest {
  static {
    // A busy machine must not fail what is only slow there.
    org.awaitility.Awaitility.setDefaultTimeout(java.time.Duration.ofSeconds(30));
  }

  private static final ObjectMapper JSON = new ObjectMapper();

  private static @Nullable TestCluster intact;

  private TestCluster cluster;

  @BeforeEach
  void start() throws Exception {
    cluster = intact != null ? intact : TestCluster.start();
    intact = null;
  }

  @AfterEach
  void everyStageCallHasEnded() {
    boolean reusable = false;
    try {
      await()
          .atMost(30, TimeUnit.SECONDS)
          .untilAsserted(() -> {
            assertThat(cluster.nodes()).allSatisfy(node -> assertThat(node.stillOpen()).isZero());
            assertThat(inFlight()).isZero();
          });
      reusable = cluster.intact();
    } finally {
      if (reusable) {
        cluster.nodes().forEach(ScriptedNode::reset);
        intact = cluster;
      } else {
        cluster.close();
      }
    }
  }

  @AfterAll
  static void stop() {
    if (intact != null) {
      intact.close();
      intact = null;
    }
  }

  @Test
  void aTenantsSaltAndTargetsReachTheStages() throws Exception {
    cluster.chat(ask("hi", ""));
    cluster.chat(
        ask("hi", ""),
        "x-epidote-cache-salt",
        "alice",
        "x-epidote-slo-ttft-ms",
        "9000",
        "x-epidote-slo-tpot-ms",
        "40.5");
    cluster.chat(
        ask("hi", ",\"priority\":-7"),
        "x-epidote-cache-salt",
        "bob",
        "x-epidote-tenant",
        "Bob@home.1");
    List<PrefillStart> starts = cluster.prefill.prefills;
    assertThat(starts).hasSize(3);
    assertThat(starts.get(0).getCacheSalt().isEmpty()).isTrue();
    assertThat(starts.get(1).getCacheSalt().size()).isEqualTo(32);
    // Nodes see digests alone, and those of two tenants differ.
    assertThat(starts.get(2).getCacheSalt()).isNotEqualTo(starts.get(1).getCacheSalt());
    assertThat(starts.get(0).getTenant()).isEmpty();
    assertThat(starts.get(0).getPriority()).isZero();
    assertThat(starts.get(2).getPriority()).isEqualTo(-7);
    assertThat(cluster.decode.decodes.get(2).getPriority()).isEqualTo(-7);
    assertThat(starts.get(2).getTenant()).isEqualTo("Bob@home.1");
    assertThat(cluster.decode.decodes.get(2).getTenant()).isEqualTo("Bob@home.1");
    assertThat(starts.get(0).hasTtftLeftMs()).isFalse();
    assertThat(starts.get(1).getTtftLeftMs()).isBetween(-20_000.0, 9000.0);
    assertThat(cluster.decode.decodes.get(0).hasTpotMs()).isFalse();
    assertThat(cluster.decode.decodes.get(1).getTpotMs()).isEqualTo(40.5);
  }

  @ParameterizedTest
  @CsvSource({
    "x-epidote-cache-salt,257,characters",
    "x-epidote-tenant,65,at most 64",
    "x-epidote-slo-ttft-ms,0,above 0",
    "x-epidote-slo-tpot-ms,1,not a number"
  })
  void aHeaderThatCannotBeIsNamed(String header, int length, String expected) throws Exception {
    String value = length > 1 ? "s".repeat(length) : length == 0 ? "-3" : "soon";
    HttpResponse<String> response = cluster.chat(ask("hi", ""), header, value);
    assertThat(response.statusCode()).isEqualTo(400);
    assertThat(response.body()).contains(header, expected);
    assertThat(cluster.prefill.prefills).isEmpty();
  }

  private int inFlight() {
    return cluster.inference().getLoad(GetLoadRequest.getDefaultInstance()).getRequestsInFlight();
  }

  private static JsonNode json(HttpResponse<String> response) throws IOException {
    return JSON.readTree(response.body());
  }

  /** The data of each event of a stream; every event is one line and an empty one. */
  private static List<String> events(String body) {
    List<String> events = new ArrayList<>();
    for (String event : body.split("\n\n", -1)) {
      if (!event.isEmpty()) {
        assertThat(event).startsWith("data: ").doesNotContain("\n");
        events.add(event.substring(6));
      }
    }
    assertThat(body).endsWith("\n\n");
    return events;
  }

  private static List<JsonNode> chunks(String body) throws IOException {
    List<JsonNode> chunks = new ArrayList<>();
    for (String event : events(body)) {
      if (!event.equals("[DONE]")) {
        chunks.add(JSON.readTree(event));
      }
    }
    return chunks;
  }

  @Test
  void answersAtOnce() throws Exception {
    HttpResponse<String> response = cluster.chat(ask("hi", ",\"model\":\"test-model\""));
    assertThat(response.statusCode()).isEqualTo(200);
    JsonNode root = json(response);
    assertThat(root.at("/object").asText()).isEqualTo("chat.completion");
    assertThat(root.at("/model").asText()).isEqualTo("test-model");
    assertThat(root.at("/choices/0/message/role").asText()).isEqualTo("assistant");
    assertThat(root.at("/choices/0/message/content").asText()).isEqualTo("hello world");
    assertThat(root.at("/choices/0/finish_reason").asText()).isEqualTo("stop");
    assertThat(root.at("/usage/prompt_tokens").asInt()).isEqualTo(2);
    assertThat(root.at("/usage/completion_tokens").asInt()).isEqualTo(12);
    assertThat(root.at("/usage/total_tokens").asInt()).isEqualTo(14);
    assertThat(root.has("timeline")).isFalse();
  }

  @Test
  void streamsTheRoleWithTheFirstTokenAndNothingBefore() throws Exception {
    HttpResponse<String> response = cluster.chat(askPicture(2, ",\"stream\":true"));
    assertThat(response.headers().firstValue("content-type"))
        .hasValue("text/event-stream; charset=utf-8");
    List<JsonNode> chunks = chunks(response.body());
    assertThat(chunks.getFirst().at("/choices/0/delta/role").asText()).isEqualTo("assistant");
    assertThat(chunks.getFirst().at("/choices/0/delta/content").asText()).isEqualTo("h");
    assertThat(chunks.stream().skip(1)).noneMatch(c -> c.at("/choices/0/delta").has("role"));
    StringBuilder text = new StringBuilder();
    chunks.forEach(chunk -> text.append(chunk.at("/choices/0/delta/content").asText("")));
    assertThat(text).hasToString("hello world");
    assertThat(chunks.getLast().at("/choices/0/finish_reason").asText()).isEqualTo("stop");
    assertThat(chunks).allSatisfy(chunk -> assertThat(chunk.has("usage")).isFalse());
    assertThat(events(response.body()).getLast()).isEqualTo("[DONE]");
  }

  @Test
  void theUsageChunkHasNoChoicesAndIsLast() throws Exception {
    HttpResponse<String> response =
        cluster.chat(askPicture(2, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
    List<JsonNode> chunks = chunks(response.body());
    assertThat(chunks.getLast().get("choices")).isEmpty();
    assertThat(chunks.getLast().at("/usage/completion_tokens").asInt()).isEqualTo(12);
    assertThat(chunks.getLast().at("/usage/prompt_tokens_details/media_tokens").asInt())
        .isEqualTo(4);
    assertThat(chunks.subList(0, chunks.size() - 1))
        .allSatisfy(chunk -> assertThat(chunk.get("usage").isNull()).isTrue());
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void theTimelineIsShownWhenAskedFor(boolean stream) throws Exception {
    HttpResponse<String> response =
        cluster.chat(askPicture(2, ",\"timeline\":true,\"stream\":" + stream));
    JsonNode last = stream ? chunks(response.body()).getLast() : json(response);
    assertThat(last.at("/timeline/stages")).hasSize(3);
    assertThat(last.at("/timeline/stages/0/stage").asText()).isEqualTo("encode");
    assertThat(last.at("/timeline/stages/2/bytes_moved").asInt()).isEqualTo(4);
    assertThat(last.at("/timeline/total_ms").asDouble())
        .isGreaterThanOrEqualTo(last.at("/timeline/ttft_ms").asDouble());
  }

  @Test
  void logprobsNameTheTokens() throws Exception {
    JsonNode root = json(cluster.chat(ask("hi", ",\"logprobs\":true,\"max_tokens\":3")));
    JsonNode content = root.at("/choices/0/logprobs/content");
    assertThat(content).hasSize(3);
    assertThat(content.at("/1/token").asText()).isEqualTo("e");
    assertThat(content.at("/1/logprob").asDouble()).isEqualTo(-0.5);
    assertThat(content.at("/1/bytes/0").asInt()).isEqualTo('e');
    assertThat(root.at("/choices/0/finish_reason").asText()).isEqualTo("length");
  }

  @Test
  void severalChoicesUseConsecutiveSeeds() throws Exception {
    JsonNode root = json(cluster.chat(ask("hi", ",\"n\":3,\"seed\":10")));
    assertThat(root.get("choices")).hasSize(3);
    for (int i = 0; i < 3; i++) {
      assertThat(root.at("/choices/" + i + "/index").asInt()).isEqualTo(i);
      assertThat(root.at("/choices/" + i + "/message/content").asText()).isEqualTo("hello world");
    }
    assertThat(root.at("/usage/completion_tokens").asInt()).isEqualTo(36);
    assertThat(cluster.prefill.prefills)
        .extracting(start -> start.getSampling().getSeed())
        .containsExactlyInAnyOrder(10L, 11L, 12L);
    assertThat(cluster.prefill.prefills)
        .extracting(start -> start.getRequestId())
        .doesNotHaveDuplicates();
  }

  @Test
  void severalChoicesCanBeStreamed() throws Exception {
    List<JsonNode> chunks = chunks(cluster.chat(ask("hi", ",\"n\":2,\"stream\":true")).body());
    for (int choice = 0; choice < 2; choice++) {
      StringBuilder text = new StringBuilder();
      int roles = 0;
      for (JsonNode chunk : chunks) {
        if (chunk.at("/choices/0/index").asInt() == choice) {
          text.append(chunk.at("/choices/0/delta/content").asText(""));
          roles += chunk.at("/choices/0/delta").has("role") ? 1 : 0;
        }
      }
      assertThat(text).hasToString("hello world");
      assertThat(roles).isEqualTo(1);
    }
  }

  @Test
  void theRequestIdIsEchoedAndUsed() throws Exception {
    HttpResponse<String> response = cluster.chat(ask("hi", ""), "x-request-id", "abc-1");
    assertThat(response.headers().firstValue("x-request-id")).hasValue("abc-1");
    assertThat(json(response).get("id").asText()).isEqualTo("chatcmpl-abc-1");
    assertThat(cluster.prefill.prefills.getFirst().getRequestId()).isEqualTo("abc-1");
    assertThat(
            cluster
                .chat(ask("hi", ""), "x-request-id", "not a valid id")
                .headers()
                .firstValue("x-request-id"))
        .hasValueSatisfying(id -> assertThat(id).matches("[0-9a-f]{16}"));
  }

  @Test
  void badInputHasItsStatusAndNamesTheField() throws Exception {
    assertError(cluster.chat("{"), 400, null, "line 1, column 2");
    assertError(cluster.chat(ask("hi", ",\"temperature\":-1")), 400, "temperature", "0 to 2");
    assertError(cluster.chat(ask("hi", ",\"model\":\"gpt-9\"")), 404, "model", "test-model");
    assertError(cluster.chat(ask("x".repeat(300), "")), 400, null, "300 tokens");
    assertError(cluster.chat(ask("<image>", "")), 400, null, "1 placeholders for 0 pictures");
    assertError(cluster.chat(askPicture(99, "")), 413, null, "too many pixels");
    assertError(cluster.chat(ask("x".repeat(300_000), "")), 413, null, "262144 bytes");
  }

  @Test
  void whatAStageRefusesBeforeTheFirstTokenHasAStatusEvenWhenStreaming() throws Exception {
    cluster.encode.script.put(
        Step.TILE, new Fail(Status.INVALID_ARGUMENT.withDescription("truncated PNG")));
    assertError(cluster.chat(askPicture(1, ",\"stream\":true")), 400, null, "truncated PNG");
  }

  @Test
  void anErrorAfterTheStreamStartedIsAnEventAndTheEnd() throws Exception {
    cluster.decode.script.put(Step.TOKENS, new Fail(Status.INTERNAL.withDescription("broken")));
    HttpResponse<String> response = cluster.chat(ask("hi", ",\"stream\":true"));
    assertThat(response.statusCode()).isEqualTo(200);
    List<String> events = events(response.body());
    JsonNode error = JSON.readTree(events.getLast());
    assertThat(error.at("/error/message").asText()).contains("decode node d1").contains("broken");
    assertThat(events).doesNotContain("[DONE]");
  }

  @Test
  void aMissingStageIsNamed() throws Exception {
    cluster.decode.leave();
    await().until(() -> !cluster.router.ready());
    HttpResponse<String> response = cluster.chat(ask("hi", ""));
    assertError(response, 503, null, "No node serves the decode stage");
    assertThat(response.headers().firstValue("retry-after")).hasValue("1");
    HttpResponse<String> ready = cluster.get("/readyz");
    assertThat(ready.statusCode()).isEqualTo(503);
    assertThat(json(ready).at("/missing_stages/0").asText()).isEqualTo("decode");
    assertThat(cluster.get("/healthz").statusCode()).isEqualTo(200);
  }

  @Test
  void aFullRouterAnswers429AndWhenToComeBack() throws Exception {
    cluster.decode.script.put(Step.TOKENS, new Stall());
    List<CompletableFuture<HttpResponse<String>>> all = new ArrayList<>();
    for (int i = 0; i < 16; i++) {
      all.add(
          cluster.http.sendAsync(
              HttpRequest.newBuilder(cluster.uri("/v1/chat/completions"))
                  .POST(HttpRequest.BodyPublishers.ofString(ask("hi", "")))
                  .build(),
              BodyHandlers.ofString()));
    }
    await().until(() -> metric("vllm:num_requests_waiting").equals("8.0"));
    HttpResponse<String> refused = cluster.chat(ask("hi", ""));
    assertError(refused, 429, null, "8 requests are at work and 8 wait");
    assertThat(refused.headers().firstValue("retry-after")).hasValue("1");
    // The clients go; those that wait must go from the queue, too.
    all.forEach(one -> one.cancel(true));
  }

  private String metric(String name) throws Exception {
    return cluster
        .get("/metrics")
        .body()
        .lines()
        .filter(line -> line.startsWith(name + "{") || line.startsWith(name + " "))
        .map(line -> line.substring(line.lastIndexOf(' ') + 1))
        .findFirst()
        .orElse("none");
  }

  @Test
  void metricsHaveTheNamesThatDashboardsKnow() throws Exception {
    cluster.close();
    cluster = TestCluster.start();
    cluster.chat(askPicture(2, ""));
    cluster.chat(ask("hi", ",\"max_tokens\":3"));
    assertThat(metric("vllm:prompt_tokens_total")).isEqualTo("16.0");
    assertThat(metric("vllm:generation_tokens_total")).isEqualTo("15.0");
    assertThat(metric("vllm:num_requests_running")).isEqualTo("0.0");
    String all = cluster.get("/metrics").body();
    assertThat(all)
        .contains(
            "vllm:request_success_total{finished_reason=\"stop\",model_name=\"test-model\"} 1.0",
            "vllm:request_success_total{finished_reason=\"length\",model_name=\"test-model\"} 1.0",
            "vllm:time_to_first_token_seconds_bucket{",
            "vllm:time_per_output_token_seconds_count{",
            "vllm:inter_token_latency_seconds_bucket{",
            "vllm:e2e_request_latency_seconds_sum{",
            "epidote_stage_queue_seconds_bucket{",
            "epidote_stage_compute_seconds_count{model_name=\"test-model\",stage=\"decode\"} 2",
            "epidote_stage_transfer_seconds_sum{",
            "epidote_stage_transfer_bytes_total{model_name=\"test-model\",stage=\"encode\"} 4.0");
  }

  @Test
  void modelsAreListed() throws Exception {
    JsonNode list = json(cluster.get("/v1/models"));
    assertThat(list.at("/object").asText()).isEqualTo("list");
    assertThat(list.at("/data/0/id").asText()).isEqualTo("test-model");
    assertThat(json(cluster.get("/v1/models/test-model")).get("object").asText())
        .isEqualTo("model");
    assertError(cluster.get("/v1/models/other"), 404, "model", "serves \"test-model\"");
  }

  @Test
  void otherPathsAndMethodsAreTold() throws Exception {
    assertError(cluster.get("/v2/other?x=1"), 404, null, "nothing at /v2/other;");
    HttpResponse<String> wrong = cluster.get("/v1/chat/completions");
    assertError(wrong, 405, null, "use POST");
    assertThat(wrong.headers().firstValue("allow")).hasValue("POST");
    HttpResponse<String> post =
        cluster.http.send(
            HttpRequest.newBuilder(cluster.uri("/v1/models"))
                .POST(HttpRequest.BodyPublishers.noBody())
                .build(),
            BodyHandlers.ofString());
    assertError(post, 405, null, "use GET");
  }

  private static void assertError(
      HttpResponse<String> response, int status, @Nullable String param, String words)
      throws IOException {
    assertThat(response.statusCode()).as(response.body()).isEqualTo(status);
    JsonNode error = json(response).get("error");
    assertThat(error.get("message").asText()).contains(words);
    assertThat(error.get("type").asText()).isNotEmpty();
    assertThat(error.get("code").asText()).isNotEmpty();
    assertThat(error.get("param").asText(null)).isEqualTo(param);
  }

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "CLOSE")
  void aClientThatGoesAwayCancelsEveryStage(Step step) throws Exception {
    ScriptedNode stalled =
        switch (step) {
          case TILE -> cluster.encode;
          case FIRST_TOKEN, KV -> cluster.prefill;
          case KV_RECEIVED, TOKENS, MORE_TOKENS, DECODE_DONE, CLOSE -> cluster.decode;
        };
    stalled.script.put(step, new Stall());
    try (Socket socket = socket()) {
      write(socket, post(askPicture(1, ",\"stream\":true")));
      await().until(() -> stalled.stillOpen() == 1);
    }
    await()
        .untilAsserted(() -> {
          assertThat(stalled.cancelled).hasValue(1);
          assertThat(inFlight()).isZero();
        });
  }

  @Test
  void pipelinedRequestsAreAnsweredInOrder() throws Exception {
    try (Socket socket = socket()) {
      StringBuilder all = new StringBuilder();
      for (int i = 0; i < 20; i++) {
        all.append(
            i % 2 == 0
                ? post(ask("hi", ",\"max_tokens\":%d".formatted(i % 5 + 1)))
                : "GET /p%d HTTP/1.1\r\nHost: x\r\n\r\n".formatted(i));
      }
      write(socket, all + "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      String responses = readAll(socket);
      int from = 0;
      for (int i = 0; i < 20; i++) {
        String expected =
            i % 2 == 0
                ? "\"completion_tokens\":%d".formatted(i % 5 + 1)
                : "nothing at /p%d;".formatted(i);
        from = responses.indexOf(expected, from);
        assertThat(from).as("response %d: %s", i, expected).isNotNegative();
      }
      assertThat(responses).endsWith("{\"status\":\"ok\"}");
    }
  }

  @Test
  void bytesThatAreNoHttpAreAnsweredAndTheConnectionEnds() throws Exception {
    try (Socket socket = socket()) {
      write(socket, "\u0016\u0003\u0001 hello there\r\n\r\n");
      String response = readAll(socket);
      assertThat(response).startsWith("HTTP/1.1 400 ").contains("no HTTP/1.1 request");
    }
  }

  @Test
  void aHeaderThatIsTooLongIsRefused() throws Exception {
    try (Socket socket = socket()) {
      write(socket, "GET / HTTP/1.1\r\nx: " + "y".repeat(40_000) + "\r\n\r\n");
      assertThat(readAll(socket)).startsWith("HTTP/1.1 400 ");
    }
  }

  @Test
  void aBodyThatIsTooLargeIsRefusedBeforeItIsRead() throws Exception {
    try (Socket socket = socket()) {
      write(
          socket,
          "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{");
      assertThat(readAll(socket)).startsWith("HTTP/1.1 413 ").contains("262144 bytes");
    }
  }

  @Test
  void aChunkedBodyThatGrowsTooLargeIsRefused() throws Exception {
    try (Socket socket = socket()) {
      write(
          socket,
          "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
      String chunk = "10000\r\n" + " ".repeat(0x10000) + "\r\n";
      for (int i = 0; i < 5; i++) {
        write(socket, chunk);
      }
      assertThat(readAll(socket)).startsWith("HTTP/1.1 413 ");
    }
  }

  @Test
  void oldClientsGetAStreamThatEndsWithTheConnection() throws Exception {
    try (Socket socket = socket()) {
      String body = ask("hi", ",\"stream\":true");
      write(
          socket,
          "POST /v1/chat/completions HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s"
              .formatted(body.length(), body));
      String response = readAll(socket);
      assertThat(response).doesNotContain("chunked").endsWith("data: [DONE]\n\n");
    }
  }

  @Test
  void expectContinueIsAnswered() throws Exception {
    HttpResponse<String> response =
        cluster.http.send(
            HttpRequest.newBuilder(cluster.uri("/v1/chat/completions"))
                .expectContinue(true)
                .POST(HttpRequest.BodyPublishers.ofString(ask("hi", "")))
                .build(),
            BodyHandlers.ofString());
    assertThat(response.statusCode()).isEqualTo(200);
  }

  @Test
  void aSlowReaderOfAnAnswerThatNeverEndsIsCutOff() throws Exception {
    cluster.decode.answer = "0123456789".repeat(8_000);
    cluster.decode.script.put(Step.DECODE_DONE, new Stall());
    cluster.decode.ignoresMaxTokens = true;
    try (Socket socket = socket()) {
      socket.setReceiveBufferSize(4096);
      write(socket, post(ask("hi", ",\"stream\":true")));
      await().atMost(20, TimeUnit.SECONDS).until(() -> cluster.decode.cancelled.get() == 1);
      await().until(() -> inFlight() == 0);
    }
  }

  @Test
  void aPortInUseIsNamedWithItsFlag() {
    RouterConfig http =
        RouterConfig.of(Path.of("unused"), Path.of("unused"), "test")
            .listen("127.0.0.1", cluster.router.httpPort(), 0)
            .build();
    assertThatThrownBy(() -> Router.start(http, new TestModel()))
        .isInstanceOf(EpidoteException.Unavailable.class)
        .hasMessageContaining("port " + cluster.router.httpPort())
        .hasMessageContaining("--http-port");
    RouterConfig grpc =
        RouterConfig.of(Path.of("unused"), Path.of("unused"), "test")
            .listen("127.0.0.1", 0, cluster.router.grpcPort())
            .build();
    assertThatThrownBy(() -> Router.start(grpc, new TestModel()))
        .isInstanceOf(EpidoteException.Unavailable.class)
        .hasMessageContaining("port " + cluster.router.grpcPort())
        .hasMessageContaining("--grpc-port");
  }

  @Test
  void closingEndsWhatRuns() throws Exception {
    cluster.decode.script.put(Step.MORE_TOKENS, new Stall());
    CompletableFuture<HttpResponse<String>> running =
        cluster.http.sendAsync(
            HttpRequest.newBuilder(cluster.uri("/v1/chat/completions"))
                .POST(HttpRequest.BodyPublishers.ofString(ask("hi", "")))
                .build(),
            BodyHandlers.ofString());
    await().until(() -> cluster.decode.stillOpen() == 1);
    TestCluster closing = cluster;
    try {
      closing.router.close();
      JsonNode answer = json(running.get(10, TimeUnit.SECONDS));
      assertThat(answer.at("/choices/0/finish_reason").asText()).isEqualTo("abort");
      await().untilAsserted(() -> assertThat(closing.decode.cancelled).hasValue(1));
    } finally {
      closing.close();
      cluster = TestCluster.start();
    }
  }

  private Socket socket() throws IOException {
    Socket socket = new Socket("127.0.0.1", cluster.router.httpPort());
    socket.setSoTimeout(20_000);
    return socket;
  }

  private static String post(String body) {
    return "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s"
        .formatted(body.getBytes(StandardCharsets.UTF_8).length, body);
  }

  private static void write(Socket socket, String text) throws IOException {
    socket.getOutputStream().write(text.getBytes(StandardCharsets.UTF_8));
    socket.getOutputStream().flush();
  }

  private static String readAll(Socket socket) throws IOException {
    return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
  }
}
