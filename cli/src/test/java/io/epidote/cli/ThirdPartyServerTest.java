package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;

/**
 * {@code bench serve} at a server that is none of ours (aimock, from npm, which streams at a pace
 * it is told), beside what OpenAI's own client sees there.
 */
class ThirdPartyServerTest {
  private static final Path SCRIPTS = Path.of("src", "test", "js");
  private static final int REQUESTS = 15;
  private static final int ROUNDS = 3;

  @Test
  void timesToFirstTokenAreThoseThatOpenAisClientSees() throws Exception {
    NpmScripts.install(SCRIPTS);
    Path program = SCRIPTS.resolve("node_modules/@copilotkit/aimock/dist/cli.js");
    assumeTrue(
        Files.exists(program) && NpmScripts.nodeMajor() >= 20,
        "aimock needs Node.js 20.15 or later");
    int port;
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    String url = "http://127.0.0.1:" + port;
    Process server =
        new ProcessBuilder(
                "node",
                program.toAbsolutePath().toString(),
                "--port",
                Integer.toString(port),
                "--fixtures",
                "aimock.json",
                "--log-level",
                "silent")
            .directory(SCRIPTS.toFile())
            .redirectErrorStream(true)
            .redirectOutput(ProcessBuilder.Redirect.DISCARD)
            .start();
    try {
      awaitListening(port);
      Samples samples = new Samples();
      for (int round = 0; round < ROUNDS; round++) {
        JsonNode figures = ours(url);
        assertThat(figures.path("errors").asInt(-1)).isZero();
        samples.add("bench serve", figures.path("ttft_p50_ms").asDouble());
        samples.add("openai", openAi(url));
      }
      assertThat(samples.median("openai")).isGreaterThan(79);
      assertThat(samples.median("bench serve") / samples.median("openai"))
          .as("%s ms, %s ms", samples.median("bench serve"), samples.median("openai"))
          // That both measure the same thing; how near they are is a measurement of a quiet
          // machine.
          .isBetween(0.8, 1.25);
    } finally {
      server.destroy();
      assertThat(server.waitFor(10, TimeUnit.SECONDS)).isTrue();
    }
  }

  private static void awaitListening(int port) {
    Awaitility.await()
        .atMost(Duration.ofSeconds(30))
        .ignoreExceptionsInstanceOf(IOException.class)
        .until(() -> {
          try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress("127.0.0.1", port));
            return true;
          }
        });
  }

  private static JsonNode ours(String url) throws IOException {
    String report =
        BenchOutput.of(
            0,
            "serve",
            "--url",
            url,
            "--clients",
            "1",
            "--requests",
            Integer.toString(REQUESTS),
            "--warm-up",
            "2",
            "--input-tokens",
            "8",
            "--json");
    return new ObjectMapper().readTree(report).path("figures");
  }

  private static double openAi(String url) throws Exception {
    Process process =
        new ProcessBuilder("node", "ttft.mjs", url + "/v1", Integer.toString(REQUESTS), "w20 w21")
            .directory(SCRIPTS.toFile())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(1, TimeUnit.MINUTES)).isTrue();
    assertThat(process.exitValue()).isZero();
    JsonNode told = new ObjectMapper().readTree(printed);
    assertThat(told.path("count").asInt()).isEqualTo(REQUESTS);
    return told.path("p50").asDouble();
  }
}
