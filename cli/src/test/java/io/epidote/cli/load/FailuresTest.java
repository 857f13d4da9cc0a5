package io.epidote.cli.load;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.epidote.cli.load.Answer.Failure;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Servers that fail in every way: each is counted by its kind, and nothing hangs. */
@Timeout(60)
class FailuresTest {
  private static final String TOKEN = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
  private static final String DONE = "data: [DONE]\n\n";
  private static final Slo TARGETS = new Slo(10_000, 10_000);

  /** Answers one request. */
  private interface Script {
    void answer(HttpExchange exchange) throws IOException;
  }

  private final CountDownLatch over = new CountDownLatch(1);
  private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
  private HttpServer server;
  private volatile Script script = exchange -> stream(exchange, TOKEN + TOKEN + DONE);

  @BeforeEach
  void start() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.setExecutor(threads);
    server.createContext(
        "/v1/chat/completions",
        exchange -> {
          exchange.getRequestBody().readAllBytes();
          script.answer(exchange);
          exchange.close();
        });
    server.start();
  }

  @AfterEach
  void stop() {
    over.countDown();
    server.stop(0);
    threads.shutdownNow();
  }

  private static void stream(HttpExchange exchange, String events) throws IOException {
    exchange.sendResponseHeaders(200, 0);
    exchange.getResponseBody().write(events.getBytes(StandardCharsets.UTF_8));
  }

  private LoadLevel run(int requests, Duration timeout) throws InterruptedException {
    WorkloadOptions options =
        new WorkloadOptions(
            null, List.of(), new Range(3, 3), new Range(2, 2), 99, true, 1, false, 7);
    try (OpenAiTarget target =
        new OpenAiTarget(
            "http://127.0.0.1:" + server.getAddress().getPort(),
            new OpenAiBody(OpenAiBody.Api.CHAT, "", false),
            Access.PLAIN,
            timeout)) {
      return new LoadRun(target, Workloads.named("random", options), 7, _ -> {})
          .run(new Arrivals.Poisson(200), requests, TARGETS);
    }
  }

  private void assertFails(Failure kind, String told) throws InterruptedException {
    LoadLevel level = run(5, Duration.ofSeconds(1));
    assertThat(level.failures()).isEqualTo(Map.of(kind, 5));
    assertThat(level.whole()).isEmpty();
    assertThat(level.attainment()).isZero();
    assertThat(level.answers().getFirst().message()).contains(told);
  }

  @Test
  void wholeAnswersAreNone() throws Exception {
    LoadLevel level = run(20, Duration.ofSeconds(5));
    assertThat(level.failures()).isEmpty();
    assertThat(level.outputTokens()).isEqualTo(40);
    assertThat(level.attainment()).isOne();
  }

  @Test
  void aStreamThatEndsEarlyIsCut() throws Exception {
    script = exchange -> stream(exchange, TOKEN);
    assertFails(Failure.CUT, "[DONE]");
  }

  @Test
  void aConnectionThatBreaksIsCut() throws Exception {
    script =
        exchange -> {
          // More is promised than comes.
          exchange.sendResponseHeaders(200, 1000);
          OutputStream out = exchange.getResponseBody();
          out.write(TOKEN.getBytes(StandardCharsets.UTF_8));
          out.flush();
          throw new IOException("broken");
        };
    assertFails(Failure.CUT, "ended before");
  }

  @Test
  void aServerThatSaysNothingIsGivenUp() throws Exception {
    script =
        exchange -> {
          try {
            over.await();
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          }
        };
    assertFails(Failure.TIMEOUT, "--timeout");
  }

  @Test
  void anErrorInAStreamIsTheServers() throws Exception {
    script = exchange -> stream(exchange, TOKEN + "data: {\"error\":{\"message\":\"no\"}}\n\n");
    assertFails(Failure.SERVER, "broke off");
  }

  @Test
  void statusesHaveTheirKinds() throws Exception {
    script = exchange -> exchange.sendResponseHeaders(500, -1);
    assertFails(Failure.SERVER, "500");
    script = exchange -> exchange.sendResponseHeaders(429, -1);
    assertFails(Failure.BUSY, "lower rate");
    script = exchange -> exchange.sendResponseHeaders(401, -1);
    assertFails(Failure.REFUSED, "OPENAI_API_KEY");
  }

  @Test
  void anAnswerWithoutTextIsEmpty() throws Exception {
    script = exchange -> stream(exchange, DONE);
    assertFails(Failure.EMPTY, "without any text");
  }

  @Test
  void timesCountFromWhenARequestShouldHaveBeenSent() {
    long intended = System.nanoTime() - 300_000_000L;
    Answer answer = new Answer(intended, "", _ -> {});
    answer.sent();
    answer.text(System.nanoTime());
    answer.end();
    assertThat(answer.ttft()).isGreaterThanOrEqualTo(300_000_000L);
    assertThat(answer.e2e()).isGreaterThanOrEqualTo(answer.ttft());
    assertThat(answer.late()).isGreaterThanOrEqualTo(300_000_000L);
  }
}
