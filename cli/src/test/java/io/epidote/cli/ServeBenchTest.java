package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/**
 * On random weights, as load tests use them: the model that ships has nothing to say to words
 * without a meaning.
 */
class ServeBenchTest {
  private static final int REQUESTS = 12;
  private static final int TOKENS = 9;

  private static Cluster cluster;

  @BeforeAll
  static void start() {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = Home.modelOrShape("moe-128x4x8", new Progress());
    cluster = ProcessCluster.start(options, NodeSpec.parseList("P,D"), new Progress());
  }

  @AfterAll
  static void stop() {
    cluster.close();
  }

  @Test
  void countsWhatTheServerStreams() throws Exception {
    JsonNode figures = run("http://" + cluster.httpAddress() + "/v1/", ServeRequests.Api.CHAT);
    assertThat(figures.path("requests").asInt()).isEqualTo(REQUESTS);
    assertThat(figures.path("errors").asInt()).isZero();
    assertThat(figures.path("output_tokens").asInt()).isEqualTo(REQUESTS * TOKENS);
    assertThat(figures.path("input_tokens").asInt()).isGreaterThanOrEqualTo(REQUESTS * 5);
    assertThat(figures.path("output_tok_s").asDouble()).isPositive();
    for (List<String> ascending :
        List.of(
            List.of("ttft_p50_ms", "ttft_p90_ms", "ttft_p99_ms"),
            List.of("tpot_p50_ms", "tpot_p90_ms"),
            List.of("ttft_p50_ms", "e2e_p50_ms"))) {
      assertThat(ascending)
          .extracting(name -> figures.path(name).asDouble(-1))
          .isSorted()
          .allSatisfy(millis -> assertThat(millis).isPositive());
    }
  }

  @Test
  void aServerThatRefusesIsCountedAsErrors() throws Exception {
    // The router has no /v1/completions.
    JsonNode figures = run("http://" + cluster.httpAddress(), ServeRequests.Api.COMPLETIONS);
    assertThat(figures.path("requests").asInt()).isEqualTo(REQUESTS);
    assertThat(figures.path("errors").asInt()).isEqualTo(REQUESTS);
    assertThat(figures.has("output_tok_s")).isFalse();
  }

  private static JsonNode run(String url, ServeRequests.Api api) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    try (ServeBench bench = new ServeBench(url, new ServeRequests(api, 5, TOKENS, 99, 7), 4)) {
      bench.run(REQUESTS).report().print(new PrintStream(out, true, StandardCharsets.UTF_8));
    }
    return new ObjectMapper().readTree(out.toByteArray()).path("figures");
  }
}
