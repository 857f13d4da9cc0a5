package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.ServerSocket;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;

/** Debian's Prometheus, in a process of its own. */
final class Prometheus implements AutoCloseable {
  private final Process process;
  private final int port;
  private final HttpClient http = HttpClient.newHttpClient();
  private final ObjectMapper json = new ObjectMapper();

  /**
   * Starts it, or skips the test where it is not installed.
   *
   * @param config what its configuration says
   * @param folder for its files
   */
  Prometheus(String config, Path folder) throws Exception {
    assumeTrue(NpmScripts.onPath("prometheus"), "Debian's package prometheus is not installed");
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    process =
        new ProcessBuilder(
                "prometheus",
                "--config.file=" + Files.writeString(folder.resolve("prometheus.yml"), config),
                "--storage.tsdb.path=" + folder.resolve("data"),
                "--web.listen-address=127.0.0.1:" + port)
            .redirectErrorStream(true)
            .redirectOutput(folder.resolve("log").toFile())
            .start();
  }

  /** A configuration that ships, in a hurry and with the rules from where they are. */
  static String shipped(String name) throws Exception {
    return Files.readString(MonitoringFiles.RULES.resolveSibling(name))
        .replace("5s", "1s")
        .replace("epidote.rules.yml", MonitoringFiles.RULES.toAbsolutePath().toString());
  }

  /** Waits until so many targets are scraped, and none fails. */
  void awaitScrapes(int targets) {
    Awaitility.await()
        .atMost(Duration.ofSeconds(40))
        .ignoreExceptions()
        .untilAsserted(() ->
            assertThat(query("up"))
                .hasSize(targets)
                .allMatch(up -> up.path("value").path(1).asText().equals("1")));
  }

  /** The series of an expression now. */
  JsonNode query(String expression) {
    JsonNode answer =
        get("/api/v1/query?query=" + URLEncoder.encode(expression, StandardCharsets.UTF_8));
    assertThat(answer.path("status").asText())
        .as("%s: %s", expression, answer)
        .isEqualTo("success");
    return answer.path("data").path("result");
  }

  JsonNode get(String path) {
    URI uri = URI.create("http://127.0.0.1:%d%s".formatted(port, path));
    try {
      return json.readTree(
          http.send(HttpRequest.newBuilder(uri).build(), BodyHandlers.ofString()).body());
    } catch (Exception e) {
      throw new AssertionError(uri.toString(), e);
    }
  }

  @Override
  public void close() throws InterruptedException {
    http.close();
    process.destroy();
    assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
  }
}
