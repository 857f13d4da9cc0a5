package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.epidote.cli.MonitoringFiles.Query;
import io.epidote.cli.MonitoringFiles.Rule;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Metrics of a running cluster, and the rules and dashboards that ask for them. */
@Timeout(120)
class MonitoringTest {
  private static final String TEXT = "text/plain";
  private static final String OPEN_METRICS = "application/openmetrics-text";

  private static WatchedCluster cluster;

  @TempDir Path folder;

  @BeforeAll
  static void start() {
    cluster = new WatchedCluster();
    askAll();
  }

  @AfterAll
  static void stop() throws Exception {
    cluster.close();
  }

  private static void askAll() {
    cluster.ask("scenes", "how many circles are there ?");
    cluster.ask("scenes", "how many circles are there ?");
    cluster.ask("scenes:colors", "how many circles are there ?");
  }

  @Test
  void whatDashboardsAndRulesAskForIsThere() throws Exception {
    Set<String> there = new TreeSet<>();
    for (String address : cluster.metricsAddresses()) {
      there.addAll(names(cluster.scrape(address, TEXT)));
    }
    Set<String> recorded =
        MonitoringFiles.rules().stream().map(Rule::record).collect(Collectors.toSet());
    List<String> missing = new ArrayList<>();
    for (Rule rule : MonitoringFiles.rules()) {
      MonitoringFiles.metrics(rule.expression()).stream()
          .filter(name -> !there.contains(name) && !recorded.contains(name))
          .forEach(name -> missing.add(name + " of the rule " + rule.record() + rule.alert()));
    }
    List<Query> queries = MonitoringFiles.dashboardQueries();
    assertThat(queries).hasSizeGreaterThan(60);
    for (Query query : queries) {
      Set<String> names = MonitoringFiles.metrics(query.expression());
      assertThat(names).as(query.expression()).isNotEmpty();
      names.stream()
          .filter(name -> !there.contains(name))
          .forEach(name -> missing.add(name + " of " + query.where()));
    }
    assertThat(missing).isEmpty();
  }

  @Test
  void aNameThatIsNowhereWouldBeFound() {
    assertThat(
            MonitoringFiles.metrics(
                "histogram_quantile(0.9, sum by (le, stage) (rate(vllm:no_such_seconds_bucket{model_name=~\"a\"}[5m]))) / (epidote_gone > 0) and absent(other{a=\"b\"})"))
        .containsExactly("vllm:no_such_seconds_bucket", "epidote_gone", "other");
  }

  @Test
  void aRoutersMetricsHaveVllmsNames() throws Exception {
    String text = cluster.scrape(cluster.metricsAddresses().getFirst(), TEXT);
    assertThat(names(text))
        .contains(
            "vllm:num_requests_running",
            "vllm:num_requests_waiting",
            "vllm:kv_cache_usage_perc",
            "vllm:prompt_tokens_total",
            "vllm:generation_tokens_total",
            "vllm:request_success_total",
            "vllm:time_to_first_token_seconds_bucket",
            "vllm:inter_token_latency_seconds_bucket",
            "vllm:time_per_output_token_seconds_bucket",
            "vllm:e2e_request_latency_seconds_bucket",
            "vllm:request_queue_time_seconds_bucket",
            "vllm:request_prefill_time_seconds_bucket",
            "vllm:request_decode_time_seconds_bucket",
            "vllm:request_inference_time_seconds_bucket",
            "vllm:request_prompt_tokens_bucket",
            "vllm:request_generation_tokens_bucket",
            "vllm:prefix_cache_queries_total",
            "vllm:prefix_cache_hits_total",
            "vllm:mm_cache_queries_total",
            "vllm:mm_cache_hits_total",
            "vllm:lora_requests_info");
    assertThat(text)
        .containsPattern("vllm:mm_cache_hits_total\\{model_name=\"scenes\"} [1-9]")
        .containsPattern("vllm:prefix_cache_hits_total\\{model_name=\"scenes\"} [1-9]")
        .containsPattern(
            "vllm:lora_requests_info\\{max_lora=\"1\",running_lora_adapters=\"\",waiting_lora_adapters=\"\"} ")
        .containsPattern(
            "epidote_slo_requests_total\\{model_name=\"scenes\",outcome=\"met\",target=\"ttft\"} [3-9]")
        .contains("epidote_nodes_available{stage=\"encode\"} 1.0");
    assertThat(cluster.scrape(cluster.metricsAddresses().getFirst(), OPEN_METRICS))
        .endsWith("# EOF\n");
  }

  @Test
  void promtoolPassesTheRules() throws Exception {
    assumeTrue(NpmScripts.onPath("promtool"), "Debian's package prometheus is not installed");
    Path rules = MonitoringFiles.FOLDER.resolve("prometheus");
    assertThat(run(rules, "promtool", "check", "rules", "epidote.rules.yml")).contains("SUCCESS");
    assertThat(run(rules, "promtool", "test", "rules", "epidote.rules.test.yml"))
        .contains("SUCCESS");
    assertThat(run(rules, "promtool", "check", "config", "prometheus.yml")).contains("SUCCESS");
    String tests = Files.readString(rules.resolve("epidote.rules.test.yml"));
    assertThat(MonitoringFiles.rules().stream().map(Rule::alert).filter(alert -> !alert.isEmpty()))
        .hasSizeGreaterThan(15)
        .allMatch(alert -> tests.contains("  - name: " + alert + "\n"));
  }

  private static String run(Path folder, String... command) throws Exception {
    Process process =
        new ProcessBuilder(command).directory(folder.toFile()).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(output).isZero();
    return output;
  }

  @Test
  void prometheusScrapesTheClusterAndAnswersEveryPanel() throws Exception {
    try (Prometheus prometheus = new Prometheus(config(), folder)) {
      prometheus.awaitScrapes(4);
      askAll();
      List<Query> queries = MonitoringFiles.dashboardQueries();
      Awaitility.await()
          .atMost(Duration.ofSeconds(40))
          .pollInterval(Duration.ofMillis(500))
          .untilAsserted(() ->
              assertThat(queries)
                  .filteredOn(query -> prometheus.query(query.expression()).isEmpty())
                  .isEmpty());
      assertThat(prometheus.get("/api/v1/rules").path("data").path("groups"))
          .flatExtracting(group -> group.path("rules").valueStream().toList())
          .hasSize(MonitoringFiles.rules().size())
          .allMatch(rule -> rule.path("health").asText().equals("ok"))
          .noneMatch(rule -> rule.path("state").asText().equals("firing"));
    }
  }

  /** With this cluster's addresses. */
  private String config() throws Exception {
    List<String> addresses = cluster.metricsAddresses();
    String own =
        Prometheus.shipped("prometheus.yml")
            .replace("\"localhost:8000\"", "\"" + addresses.getFirst() + "\"")
            .replaceAll(
                "\\[\"localhost:9100\".*]",
                addresses.stream()
                    .skip(1)
                    .map(address -> "\"" + address + "\"")
                    .collect(Collectors.joining(", ", "[", "]")));
    assertThat(own).doesNotContain("localhost");
    return own;
  }

  private static Set<String> names(String page) {
    return page.lines()
        .filter(line -> !line.startsWith("#"))
        .map(line -> line.split("[{ ]", 2)[0])
        .collect(Collectors.toSet());
  }
}
