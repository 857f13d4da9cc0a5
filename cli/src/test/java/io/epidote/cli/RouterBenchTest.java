package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import org.junit.jupiter.api.Test;

/** The router's benchmark in small; speed is judged by whoever runs it on a quiet machine. */
class RouterBenchTest {
  private static final int STREAMS = 300;

  @Test
  void everyRequestIsAnsweredAndEveryStreamIsHeld() throws Exception {
    JsonNode figures =
        new ObjectMapper()
            .readTree(
                BenchOutput.of(
                    0,
                    "router",
                    "--requests=300",
                    "--warm-up=100",
                    "--clients=8",
                    "--tokens=5",
                    "--streams=" + STREAMS,
                    "--json"))
            .path("figures");
    assertThat(figures.path("streams_held").asInt()).isEqualTo(STREAMS);
    assertThat(figures.path("rss_mib").asInt()).isBetween(50, 2048);
    double requests = figures.path("requests_s").asDouble();
    assertThat(requests).isPositive();
    assertThat(figures.path("output_tok_s").asDouble() / requests).isBetween(4.99, 5.01);
    // A token is in at least one object, and a request in less than 10 MiB of them.
    assertThat(figures.path("allocated_bytes_per_token").asDouble()).isBetween(16.0, 2097152.0);
    assertThat(figures.path("added_p50_ms").asDouble())
        .isPositive()
        .isLessThanOrEqualTo(figures.path("added_p99_ms").asDouble());
  }
}
