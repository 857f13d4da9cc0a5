package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code bench serve} on emulated devices, as a user calls it. */
class ServeBenchTest {
  private static final int REQUESTS = 12;
  private static final int TOKENS = 9;

  private static Cluster cluster;

  @TempDir private Path folder;

  @BeforeAll
  static void start() {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(Home.profile("minicpm-v-2.6-a100"));
    options.node.emulation.timeScale = 20;
    cluster = LocalCluster.start(options, NodeSpec.parseList("E,P,D"), new Progress());
  }

  @AfterAll
  static void stop() {
    ClusterAssertions.assertNothingInUse(cluster, 3);
    cluster.close();
  }

  @ParameterizedTest
  @ValueSource(strings = {"--clients=4", "--rate=50", "--rate=50 --arrivals=bursts", "--grpc"})
  void countsWhatTheServerStreams(String load) throws Exception {
    JsonNode figures =
        serve(load + " --input-tokens=5 --output-tokens=" + TOKENS, 0).path("figures");
    assertThat(figures.path("requests").asInt()).isEqualTo(REQUESTS);
    assertThat(figures.path("errors").asInt()).isZero();
    assertThat(figures.path("output_tokens").asInt()).isEqualTo(REQUESTS * TOKENS);
    assertThat(figures.path("input_tokens").asInt()).isGreaterThanOrEqualTo(REQUESTS * 5);
    assertThat(figures.path("output_tok_s").asDouble()).isPositive();
    assertThat(figures.path("prefill_compute_ms").asDouble()).isPositive();
    assertThat(figures.path("power_w").isNumber() || figures.path("power_w").isTextual()).isTrue();
    for (List<String> ascending :
        List.of(
            List.of("ttft_p50_ms", "ttft_p90_ms", "ttft_p99_ms"),
            List.of("tpot_p50_ms", "tpot_p90_ms", "tpot_p99_ms"),
            List.of("itl_p50_ms", "itl_p90_ms", "itl_p99_ms"),
            List.of("ttft_p50_ms", "e2e_p50_ms", "e2e_p99_ms"))) {
      assertThat(ascending)
          .extracting(name -> figures.path(name).asDouble(-1))
          .isSorted()
          .allSatisfy(millis -> assertThat(millis).isPositive());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"nextqa", "document", "egocentric", "phases"})
  void everyWorkloadIsAnswered(String workload) throws Exception {
    JsonNode figures =
        serve("--header-pictures --rate=100 --workload=" + workload, 0).path("figures");
    assertThat(figures.path("requests").asInt()).isEqualTo(REQUESTS);
    assertThat(figures.path("errors").asInt()).isZero();
    assertThat(figures.path("encode_compute_ms").asDouble()).isPositive();
  }

  @Test
  void aTraceOfOnesOwnIsReplayed() throws Exception {
    Path trace = folder.resolve("mine.jsonl");
    Files.write(
        trace,
        List.of(
            "{\"prompt\": \"w20 w21\", \"output_tokens\": 3, \"at_s\": 0}",
            "{\"input_tokens\": 7, \"pictures\": [\"448x448\"], \"output_tokens\": 4, \"at_s\": 1}",
            "{\"messages\": [{\"role\": \"user\", \"content\": \"w30\"}], \"max_tokens\": 5, \"ignore_eos\": true}"));
    JsonNode figures =
        run("--arrivals=trace --speed=2 --warm-up=1 --workload=" + trace, 0).path("figures");
    assertThat(figures.path("requests").asInt()).isEqualTo(3);
    assertThat(figures.path("output_tokens").asInt()).isEqualTo(3 + 4 + 5);
    // Half a second of arrivals: three answers in it.
    assertThat(figures.path("requests_s").asDouble()).isLessThan(6.1);
    assertThat(
            run("--workload=" + Files.write(trace, List.of("{\"promt\": \"w20\"}")), 1)
                .isMissingNode())
        .isTrue();
  }

  @Test
  void thePageShowsEveryPlotAndAsksNoOtherHost() throws Exception {
    Path page = folder.resolve("report.html");
    serve("--rates=20,40 --header-pictures --pictures=1 --html=" + page, 0);
    try (HeadlessBrowser browser = HeadlessBrowser.open(folder)) {
      String shown = browser.show(page);
      for (String plot :
          List.of(
              "latency", "attainment", "timeline", "queue", "roles", "percentiles", "requests")) {
        Matcher figure =
            Pattern.compile("<figure[^>]* id=\"plot-" + plot + "\".*?</figure>", Pattern.DOTALL)
                .matcher(shown);
        assertThat(figure.find()).as(plot).isTrue();
        assertThat(figure.group())
            .as(plot)
            .containsPattern("<(path|rect|circle) ")
            .doesNotContain("class=\"none\"", "NaN", "Infinity", "undefined");
      }
      assertThat(shown).contains("prefill-0", "20.0 requests/s, Poisson");
      assertThat(browser.asked()).isEmpty();

      // A page that does ask is found out.
      Path other = folder.resolve("other.html");
      Files.writeString(other, "<img src='http://elsewhere.invalid/x.png'>");
      browser.show(other);
      assertThat(browser.asked()).anyMatch(request -> request.contains("elsewhere.invalid"));
    }
  }

  @Test
  void goodputLiesBetweenARateThatIsMetAndOneThatIsNot() throws Exception {
    // A picture of 4032x3024 is ten tiles of 44 ms, 22 ms of the clock at 20 times its speed: one
    // encode node does no more than 45 a second, and at 45 nobody has a first token in 100 ms.
    JsonNode report =
        serve(
            "--goodput --rate=5 --requests=60 --workload=random --pictures=1 --picture-sizes=4032x3024 --header-pictures --output-tokens=2 --slo-ttft-ms=100",
            0);
    double goodput = report.at("/figures/goodput_requests_s").asDouble();
    assertThat(goodput).isBetween(2.0, 46.0);
    assertThat(report.path("rows"))
        .anySatisfy(row -> {
          assertThat(row.path("rate_requests_s").asDouble()).isGreaterThan(goodput);
          assertThat(row.path("slo_attainment").asDouble()).isLessThan(0.9);
        })
        .anySatisfy(row -> {
          assertThat(row.path("rate_requests_s").asDouble()).isEqualTo(goodput);
          assertThat(row.path("slo_attainment").asDouble()).isGreaterThanOrEqualTo(0.9);
        });
  }

  @Test
  void refusalsAreCountedByKind() throws Exception {
    // The router has no /v1/completions.
    JsonNode figures = serve("--api=completions --warm-up=0", 1).path("figures");
    assertThat(figures.path("requests").asInt()).isEqualTo(REQUESTS);
    assertThat(figures.path("errors_refused").asInt()).isEqualTo(REQUESTS);
    assertThat(figures.has("output_tok_s")).isFalse();
  }

  @Test
  void aServerThatIsNotThereIsSaidAtOnce() throws Exception {
    int free;
    try (ServerSocket socket = new ServerSocket(0)) {
      free = socket.getLocalPort();
    }
    assertThat(call(List.of("--url=http://127.0.0.1:" + free), 1)).isEmpty();
  }

  private static JsonNode serve(String arguments, int exit) throws IOException {
    return run(
        (arguments.contains("--requests") ? "" : "--requests=" + REQUESTS + " ") + arguments, exit);
  }

  private static JsonNode run(String arguments, int exit) throws IOException {
    List<String> all = new ArrayList<>();
    all.add("--url=http://" + cluster.httpAddress() + "/v1/");
    all.add("--router=" + cluster.grpcAddress());
    all.add("--json");
    all.addAll(Arrays.asList(arguments.split(" ")));
    return new ObjectMapper().readTree(call(all, exit));
  }

  private static String call(List<String> arguments, int exit) {
    List<String> command = new ArrayList<>(List.of("serve"));
    command.addAll(arguments);
    return BenchOutput.of(exit, command.toArray(String[]::new));
  }
}
