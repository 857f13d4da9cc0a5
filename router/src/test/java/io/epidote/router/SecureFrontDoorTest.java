package io.epidote.router;

import static io.epidote.router.TestCluster.ask;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.classic.spi.ThrowableProxyUtil;
import ch.qos.logback.core.AppenderBase;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import io.epidote.proto.kserve.v2.GRPCInferenceServiceGrpc;
import io.epidote.proto.kserve.v2.InferTensorContents;
import io.epidote.proto.kserve.v2.ModelInferRequest;
import io.epidote.proto.kserve.v2.ModelStreamInferResponse;
import io.epidote.proto.stage.v1.PrefillStart;
import io.epidote.proto.v1.AbortRequest;
import io.epidote.proto.v1.GetLoadRequest;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.router.access.HttpLimits;
import io.epidote.router.access.KeyFile;
import io.epidote.router.access.Security;
import io.epidote.router.access.TenantLimits;
import io.epidote.router.media.MediaUrls;
import io.grpc.ClientInterceptor;
import io.grpc.Metadata;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/** A router that knows its clients by keys, and has little patience with the slow. */
class SecureFrontDoorTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Queue<String> LOGGED = new ConcurrentLinkedQueue<>();
  private static final AppenderBase<ILoggingEvent> LOG =
      new AppenderBase<>() {
        @Override
        protected void append(ILoggingEvent event) {
          LOGGED.add(
              event.getFormattedMessage()
                  + (event.getThrowableProxy() == null
                      ? ""
                      : ThrowableProxyUtil.asString(event.getThrowableProxy())));
        }
      };

  @TempDir private static Path folder;
  private static TestCluster cluster;
  private static String acme;
  private static String other;
  private static String slow;

  @BeforeAll
  static void start() throws Exception {
    LOG.start();
    Logger root = (Logger) LoggerFactory.getLogger("io.epidote");
    root.setLevel(Level.TRACE);
    root.addAppender(LOG);
    Path keys = folder.resolve("keys.json");
    acme = KeyFile.add(keys, "acme", null);
    other = KeyFile.add(keys, "other", null);
    slow = KeyFile.add(keys, "slow", new TenantLimits(0.1, 0, 0, 0));
    cluster =
        TestCluster.start(
            new Security(
                Optional.empty(),
                false,
                Optional.of(keys),
                false,
                HttpLimits.DEFAULT
                    .withConnections(30, 0)
                    .withPatience(Duration.ofSeconds(1), Duration.ofSeconds(1)),
                MediaUrls.NONE));
  }

  @AfterAll
  static void stop() {
    cluster.close();
    Logger root = (Logger) LoggerFactory.getLogger("io.epidote");
    root.detachAppender(LOG);
    root.setLevel(null);
  }

  @BeforeEach
  void forget() {
    cluster.nodes().forEach(ScriptedNode::reset);
  }

  private static JsonNode error(HttpResponse<String> response) throws Exception {
    return JSON.readTree(response.body()).path("error");
  }

  @Test
  void noKeyOrAWrongOneIsRefusedAndProbesNeedNone() throws Exception {
    for (String[] headers :
        new String[][] {
          {}, {"Authorization", "Bearer nonsense"}, {"Authorization", "Bearer " + acme + "x"}
        }) {
      HttpResponse<String> refused = cluster.chat(ask("hi", ""), headers);
      assertThat(refused.statusCode()).isEqualTo(401);
      assertThat(error(refused).path("code").asText()).isEqualTo("invalid_api_key");
      assertThat(error(refused).path("type").asText()).isEqualTo("authentication_error");
      assertThat(refused.headers().firstValue("www-authenticate")).hasValue("Bearer");
    }
    assertThat(cluster.get("/metrics").statusCode()).isEqualTo(401);
    assertThat(cluster.get("/v1/models").statusCode()).isEqualTo(401);
    assertThat(cluster.get("/healthz").statusCode()).isEqualTo(200);
    assertThat(cluster.get("/readyz").statusCode()).isEqualTo(200);
    assertThat(cluster.prefill.prefills).isEmpty();
  }

  /** A browser sends a key only when the page, which tells nothing, has asked somebody for it. */
  @Test
  void thePageItselfNeedsNoKeyButWhatItShowsDoes() throws Exception {
    assertThat(cluster.get("/").statusCode()).isEqualTo(200);
    assertThat(cluster.get("/epidote/page/main.js").statusCode()).isEqualTo(200);
    assertThat(cluster.get("/epidote/v1/cluster").statusCode()).isEqualTo(401);
    assertThat(cluster.get("/epidote/v1/requests?after=0").statusCode()).isEqualTo(401);
    assertThat(cluster.get("/epidote/page/nothing.js").statusCode()).isEqualTo(401);
  }

  @Test
  void theTenantFollowsFromTheKeyAndSharesNoPromptWithOthers() throws Exception {
    assertThat(cluster.chat(ask("hi", ""), "Authorization", "Bearer " + acme).statusCode())
        .isEqualTo(200);
    assertThat(cluster.chat(ask("hi", ""), "Authorization", "Bearer " + other).statusCode())
        .isEqualTo(200);
    HttpResponse<String> claimed =
        cluster.chat(ask("hi", ""), "Authorization", "Bearer " + other, "x-epidote-tenant", "acme");
    assertThat(claimed.statusCode()).isEqualTo(403);
    assertThat(error(claimed).path("type").asText()).isEqualTo("permission_error");
    List<PrefillStart> starts = cluster.prefill.prefills;
    assertThat(starts).extracting(PrefillStart::getTenant).containsExactly("acme", "other");
    assertThat(starts).extracting(start -> start.getCacheSalt().size()).containsOnly(32);
    assertThat(starts.get(0).getCacheSalt()).isNotEqualTo(starts.get(1).getCacheSalt());
    // A salt of the same text does not bring two tenants together.
    cluster.chat(ask("hi", ""), "Authorization", "Bearer " + acme, "x-epidote-cache-salt", "one");
    cluster.chat(ask("hi", ""), "Authorization", "Bearer " + other, "x-epidote-cache-salt", "one");
    assertThat(starts).extracting(PrefillStart::getCacheSalt).doesNotHaveDuplicates();
  }

  @Test
  void whoIsFasterThanItsRateIsToldWhenToComeAgain() throws Exception {
    assertThat(cluster.chat(ask("hi", ""), "Authorization", "Bearer " + slow).statusCode())
        .isEqualTo(200);
    HttpResponse<String> refused = cluster.chat(ask("hi", ""), "Authorization", "Bearer " + slow);
    assertThat(refused.statusCode()).isEqualTo(429);
    assertThat(error(refused).path("type").asText()).isEqualTo("rate_limit_error");
    assertThat(error(refused).path("message").asText()).contains("0.1 requests a second");
    assertThat(refused.headers().firstValueAsLong("retry-after").orElse(0)).isBetween(5L, 10L);
    assertThat(cluster.chat(ask("hi", ""), "Authorization", "Bearer " + acme).statusCode())
        .isEqualTo(200);
  }

  private static ClientInterceptor key(String key) {
    Metadata headers = new Metadata();
    headers.put(
        Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + key);
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }

  private static InferenceGrpc.InferenceBlockingStub as(String key) {
    return cluster.inference().withInterceptors(key(key));
  }

  @Test
  void grpcAsksForTheSameKeys() {
    assertThatThrownBy(
            () -> cluster.inference().getLoad(GetLoadRequest.getDefaultInstance()).getNodesCount())
        .hasMessageContaining("UNAUTHENTICATED");
    assertThatThrownBy(
            () -> as("epk_no").getLoad(GetLoadRequest.getDefaultInstance()).getNodesCount())
        .hasMessageContaining("UNAUTHENTICATED");
    as(acme).generate(TestCluster.generate().build()).forEachRemaining(_ -> {});
    assertThat(cluster.prefill.prefills.getFirst().getTenant()).isEqualTo("acme");
    assertThatThrownBy(() ->
            as(acme)
                .generate(TestCluster.generate().setTenant("other").build())
                .forEachRemaining(_ -> {}))
        .hasMessageContaining("PERMISSION_DENIED");
    // Whose request it is cannot be told by its id, nor can it be ended by others.
    assertThat(as(other).abort(AbortRequest.newBuilder().setRequestId("x").build()).getFound())
        .isFalse();
    var unused =
        HealthGrpc.newBlockingStub(cluster.channel).check(HealthCheckRequest.getDefaultInstance());
  }

  @Test
  void kserveIsForTheTenantOfTheKey() throws Exception {
    ModelInferRequest question =
        ModelInferRequest.newBuilder()
            .addInputs(
                ModelInferRequest.InferInputTensor.newBuilder()
                    .setName("text_input")
                    .setDatatype("BYTES")
                    .addShape(1)
                    .setContents(
                        InferTensorContents.newBuilder()
                            .addBytesContents(ByteString.copyFromUtf8("hi"))))
            .build();
    assertThatThrownBy(() ->
            GRPCInferenceServiceGrpc.newBlockingStub(cluster.channel)
                .modelInfer(question)
                .getOutputsCount())
        .hasMessageContaining("UNAUTHENTICATED");
    assertThat(
            GRPCInferenceServiceGrpc.newBlockingStub(cluster.channel)
                .withInterceptors(key(acme))
                .modelInfer(question)
                .getOutputsCount())
        .isEqualTo(1);
    CompletableFuture<Void> end = new CompletableFuture<>();
    StreamObserver<ModelInferRequest> requests =
        GRPCInferenceServiceGrpc.newStub(cluster.channel)
            .withInterceptors(key(other))
            .modelStreamInfer(
                new StreamObserver<>() {
                  @Override
                  public void onNext(ModelStreamInferResponse response) {}

                  @Override
                  public void onError(Throwable error) {
                    end.completeExceptionally(error);
                  }

                  @Override
                  public void onCompleted() {
                    end.complete(null);
                  }
                });
    requests.onNext(question);
    requests.onCompleted();
    end.get(20, TimeUnit.SECONDS);
    List<PrefillStart> starts = cluster.prefill.prefills;
    assertThat(starts).extracting(PrefillStart::getTenant).containsExactly("acme", "other");
    assertThat(starts.get(0).getCacheSalt()).isNotEqualTo(starts.get(1).getCacheSalt());
  }

  @Test
  void noKeyAndNoPromptIsEverLogged() throws Exception {
    String secret = "the-secret-prompt-" + System.nanoTime();
    cluster.chat(ask(secret, ""), "Authorization", "Bearer " + acme);
    cluster.chat(ask(secret, ",\"n\":99"), "Authorization", "Bearer " + acme);
    cluster.chat(ask(secret, "").substring(3), "Authorization", "Bearer " + acme);
    cluster.chat(ask(secret, ""), "Authorization", "Bearer " + acme + "x");
    cluster.chat(ask(secret, ""), "Authorization", acme);
    as(acme + "y");
    assertThatThrownBy(
            () -> as(acme + "y").getLoad(GetLoadRequest.getDefaultInstance()).getNodesCount())
        .isInstanceOf(RuntimeException.class);
    assertThat(LOGGED).isNotEmpty();
    assertThat(LOGGED)
        .allSatisfy(line -> assertThat(line).doesNotContain(acme, secret, acme.substring(17)));
  }

  private static Socket connect() throws IOException {
    Socket socket = new Socket("127.0.0.1", cluster.router.httpPort());
    socket.setSoTimeout(10_000);
    return socket;
  }

  private static void send(Socket socket, String text) throws IOException {
    OutputStream out = socket.getOutputStream();
    out.write(text.getBytes(StandardCharsets.ISO_8859_1));
    out.flush();
  }

  private static String rest(Socket socket) throws IOException {
    return new String(socket.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1);
  }

  @Test
  void slowHeadsAndBodiesAreEnded() throws Exception {
    try (Socket silent = connect();
        Socket head = connect();
        Socket body = connect();
        Socket trickle = connect()) {
      String begin =
          "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "
              + acme
              + "\r\nContent-Length: 1000\r\n";
      send(head, begin);
      send(body, begin + "\r\n{");
      send(trickle, begin + "\r\n{");
      Thread drops =
          Thread.ofVirtual()
              .start(() -> {
                try {
                  for (int i = 0; i < 100; i++) {
                    send(trickle, " ");
                    Thread.sleep(100);
                  }
                } catch (IOException | InterruptedException e) {
                  // It was ended, as it should be.
                }
              });
      assertThat(rest(silent)).isEmpty();
      assertThat(rest(head)).startsWith("HTTP/1.1 408");
      assertThat(rest(body)).startsWith("HTTP/1.1 408");
      assertThat(rest(trickle)).startsWith("HTTP/1.1 408");
      drops.join();
    }
  }

  /** Whoever has asked for so much that nothing more is read of it has no more patience either. */
  @Test
  void whoAsksForMuchAndReadsNothingIsEnded() throws Exception {
    double before = closed("slow");
    try (Socket deaf = new Socket()) {
      deaf.setReceiveBufferSize(4096);
      deaf.connect(new InetSocketAddress("127.0.0.1", cluster.router.httpPort()));
      // Large, so that no read of the router's has more requests than may come at a time.
      String request =
          "GET /metrics HTTP/1.1\r\nHost: x\r\nX-Pad: %s\r\nAuthorization: Bearer %s\r\n\r\n"
              .formatted("x".repeat(2048), acme);
      Thread asks =
          Thread.ofVirtual()
              .start(() -> {
                try {
                  send(deaf, request.repeat(100));
                } catch (IOException e) {
                  // It was ended, as it should be.
                }
              });
      await().atMost(Duration.ofSeconds(10)).until(() -> closed("slow") > before);
      deaf.close();
      asks.join();
    }
  }

  private static double closed(String why) throws Exception {
    String name = "epidote_http_connections_closed_total{why=\"%s\"} ".formatted(why);
    return metrics()
        .lines()
        .filter(line -> line.startsWith(name))
        .mapToDouble(line -> Double.parseDouble(line.substring(name.length())))
        .sum();
  }

  private static String metrics() throws Exception {
    return cluster
        .http
        .send(
            HttpRequest.newBuilder(cluster.uri("/metrics"))
                .header("Authorization", "Bearer " + acme)
                .build(),
            HttpResponse.BodyHandlers.ofString())
        .body();
  }

  @Test
  void aCrowdOfSilentConnectionsKeepsNobodyOut() throws Exception {
    List<Socket> crowd = new ArrayList<>();
    try {
      for (int i = 0; i < 100; i++) {
        Socket socket = connect();
        crowd.add(socket);
        send(socket, "GET /v1/models HTTP/1.1\r\nX-Slow: ");
        if (i % 10 == 9) {
          long begun = System.nanoTime();
          try (Socket fresh = connect()) {
            send(fresh, "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            assertThat(rest(fresh)).startsWith("HTTP/1.1 200");
          }
          assertThat(Duration.ofNanos(System.nanoTime() - begun)).isLessThan(Duration.ofSeconds(5));
        }
      }
    } finally {
      for (Socket socket : crowd) {
        socket.close();
      }
    }
    await()
        .atMost(Duration.ofSeconds(10))
        .untilAsserted(() -> {
          assertThat(metrics()).contains("epidote_http_connections_closed_total");
        });
  }
}
