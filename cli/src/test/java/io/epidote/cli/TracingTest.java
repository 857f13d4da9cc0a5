package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.read.ListAppender;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.cli.OtlpReceiver.Received;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.trace.OpenSpan;
import io.epidote.node.trace.TraceParent;
import io.epidote.node.trace.Tracing;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.InferenceGrpc;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.TextPrompt;
import io.epidote.router.request.RequestWatch.LogRules;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import io.opentelemetry.proto.common.v1.AnyValue;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/** Traces and logs of requests, as a collector and a reader of logs get them. */
@Timeout(120)
class TracingTest {
  private static final String CALLER = "00f067aa0ba902b7";
  private static final Duration EXPORT = Duration.ofSeconds(15);

  private static OtlpReceiver collector;
  private static WatchedCluster cluster;

  @BeforeAll
  static void start() throws Exception {
    collector = new OtlpReceiver();
    cluster =
        new WatchedCluster(
            new Tracing.Options(Optional.of(collector.endpoint()), 1), new LogRules(true, false));
  }

  @AfterAll
  static void stop() throws Exception {
    cluster.close();
    collector.close();
  }

  @Test
  void aRequestIsOneTraceOfRouterEncodePrefillAndDecode() throws Exception {
    String trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assertThat(cluster.askOverHttp("describe the picture.", "traceparent", header(trace, "01")))
        .isEqualTo(200);
    Awaitility.await().atMost(EXPORT).until(() -> collector.trace(trace).size() >= 7);
    List<Received> spans = collector.trace(trace);
    assertThat(spans).hasSize(7);
    Map<String, Received> byName =
        spans.stream().collect(Collectors.toMap(Received::name, Function.identity()));
    Received request = get(byName, "chat scenes");
    assertThat(request.parent()).isEqualTo(CALLER);
    assertThat(request.kind()).isEqualTo("SPAN_KIND_SERVER");
    assertThat(request.service()).isEqualTo("epidote-router");
    assertThat(text(request, "gen_ai.operation.name")).isEqualTo("chat");
    assertThat(text(request, "gen_ai.provider.name")).isEqualTo("epidote");
    assertThat(text(request, "gen_ai.request.model")).isEqualTo("scenes");
    assertThat(number(request, "gen_ai.request.max_tokens")).isEqualTo(8);
    assertThat(number(request, "gen_ai.usage.input_tokens")).isGreaterThan(8);
    assertThat(number(request, "gen_ai.usage.output_tokens")).isBetween(1L, 8L);
    assertThat(attribute(request, "gen_ai.response.finish_reasons").getArrayValue().getValuesList())
        .extracting(AnyValue::getStringValue)
        .containsAnyOf("stop", "length");
    for (String stage : List.of("encode", "prefill", "decode")) {
      Received call = get(byName, "call " + stage);
      assertThat(call.parent()).isEqualTo(request.id());
      assertThat(call.kind()).isEqualTo("SPAN_KIND_CLIENT");
      Received work = get(byName, stage);
      assertThat(work.parent()).isEqualTo(call.id());
      assertThat(work.kind()).isEqualTo("SPAN_KIND_SERVER");
      assertThat(work.service()).isEqualTo("epidote-node");
      assertThat(work.instance()).isEqualTo(text(work, "epidote.node")).startsWith(stage);
      assertThat(attribute(work, "epidote.compute_ms").getDoubleValue()).isPositive();
      assertThat(work.nanos()).isPositive().isLessThanOrEqualTo(call.nanos() + 50_000_000);
      assertThat(work.isError()).as(stage).isFalse();
    }
  }

  @Test
  void aGrpcClientsTraceGoesOn() {
    String trace = "0af7651916cd43dd8448eb211c80319c";
    Metadata headers = new Metadata();
    headers.put(
        Metadata.Key.of("traceparent", Metadata.ASCII_STRING_MARSHALLER), header(trace, "01"));
    ManagedChannel channel =
        NettyChannelBuilder.forTarget("dns:///" + cluster.grpcAddress()).usePlaintext().build();
    try {
      InferenceGrpc.newBlockingStub(channel)
          .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
          .generate(
              GenerateRequest.newBuilder()
                  .setText(TextPrompt.newBuilder().setText("how many circles"))
                  .setSampling(SamplingParams.newBuilder().setMaxTokens(3).setIgnoreEos(true))
                  .build())
          .forEachRemaining(event -> {});
    } finally {
      channel.shutdownNow();
    }
    Awaitility.await().atMost(EXPORT).until(() -> collector.trace(trace).size() >= 5);
    assertThat(collector.trace(trace))
        .extracting(Received::name)
        .containsExactlyInAnyOrder(
            "text_completion scenes", "call prefill", "prefill", "call decode", "decode");
  }

  @Test
  void whatTheCallerDoesNotSampleIsNotSent() throws Exception {
    String quiet = "11111111111111111111111111111111";
    String loud = "22222222222222222222222222222222";
    assertThat(cluster.askOverHttp("hush", "traceparent", header(quiet, "00"))).isEqualTo(200);
    assertThat(cluster.askOverHttp("hello", "traceparent", header(loud, "01"))).isEqualTo(200);
    Awaitility.await().atMost(EXPORT).until(() -> collector.trace(loud).size() >= 7);
    assertThat(collector.trace(quiet)).isEmpty();
  }

  @Test
  void histogramsNameATraceThatTheyWereMeasuredFor() throws Exception {
    assertThat(
            cluster.askOverHttp(
                "an example", "traceparent", header("33333333333333333333333333333333", "01")))
        .isEqualTo(200);
    assertThat(
            cluster.scrape(cluster.metricsAddresses().getFirst(), "application/openmetrics-text"))
        .containsPattern(
            "vllm:e2e_request_latency_seconds_bucket\\{[^}]*} \\S+ # \\{span_id=\"[0-9a-f]{16}\",trace_id=\"[0-9a-f]{32}\"}");
  }

  @Test
  void aLineOfTheLogNamesRequestAndTraceAndNothingOfItsContent() throws Exception {
    String trace = "44444444444444444444444444444444";
    List<String> lines;
    try (Captured log = new Captured()) {
      assertThat(
              cluster.askOverHttp(
                  "where is the zanzibar ?",
                  "traceparent",
                  header(trace, "01"),
                  "x-request-id",
                  "my-own-id"))
          .isEqualTo(200);
      lines = log.lines();
    }
    JsonNode line = requestLine(lines, "my-own-id");
    assertThat(line.path("trace_id").asText()).isEqualTo(trace);
    assertThat(line.path("model").asText()).isEqualTo("scenes");
    assertThat(line.path("outcome").asText()).isIn("stop", "length");
    assertThat(line.path("prompt_tokens").isInt()).isTrue();
    assertThat(line.path("ttft_ms").asDouble()).isPositive();
    assertThat(line.path("time").asText()).matches("\\d{4}-\\d\\d-\\d\\dT.*Z");
    assertThat(lines).noneMatch(each -> each.contains("zanzibar"));
  }

  @Test
  void contentIsLoggedWhenAskedFor() throws Exception {
    try (WatchedCluster telling =
            new WatchedCluster(Tracing.Options.NONE, new LogRules(true, true));
        Captured log = new Captured()) {
      assertThat(telling.askOverHttp("where is the zanzibar ?", "x-request-id", "told"))
          .isEqualTo(200);
      JsonNode line = requestLine(log.lines(), "told");
      assertThat(line.path("prompt").asText()).isEqualTo("user: <media> where is the zanzibar ?");
      assertThat(line.path("answer").asText()).isNotEmpty();
      assertThat(line.has("trace_id")).isFalse();
    }
  }

  @Test
  void aProcessWritesItsLogAsJson(@TempDir Path logs) throws Exception {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.logs.format = "json";
    try (ChildProcess router =
        ChildProcess.start(
            "router",
            logs,
            // As users have it; tests have another, which says less.
            List.of(
                "-Dlogback.configurationFile="
                    + Home.folder().resolve("cli/src/main/resources/logback.xml")),
            options.routerArguments())) {
      assertThat(router.awaitReady(Duration.ofSeconds(60))).contains("http=");
    }
    List<String> lines = Files.readAllLines(logs.resolve("router.log"));
    assertThat(lines).anyMatch(line -> line.contains("Router of scenes listens"));
    for (String line : lines) {
      if (!line.startsWith("WARNING: Using incubator modules")) {
        assertThat(new ObjectMapper().readTree(line).path("logger").asText()).isNotEmpty();
      }
    }
  }

  @Test
  void withoutACollectorNothingIsTraced() {
    assertThat(Tracing.start(Tracing.Options.NONE, "router", "r", "1")).isSameAs(Tracing.OFF);
    OpenSpan span = Tracing.OFF.receive("chat", TraceParent.of(header("a".repeat(32), "01"), null));
    Metadata headers = new Metadata();
    assertThat(span.call("call encode", headers)).isSameAs(OpenSpan.NONE);
    assertThat(headers.keys()).isEmpty();
    TracingOptions wrong = new TracingOptions();
    wrong.endpoint = "localhost:4318";
    assertThatThrownBy(wrong::tracing)
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("http://localhost:4318");
  }

  private static String header(String trace, String flags) {
    return "00-%s-%s-%s".formatted(trace, CALLER, flags);
  }

  private static Received get(Map<String, Received> spans, String name) {
    assertThat(spans).containsKey(name);
    return java.util.Objects.requireNonNull(spans.get(name));
  }

  private static AnyValue attribute(Received span, String key) {
    return span.attributes().getOrDefault(key, AnyValue.getDefaultInstance());
  }

  private static String text(Received span, String key) {
    return attribute(span, key).getStringValue();
  }

  private static long number(Received span, String key) {
    return attribute(span, key).getIntValue();
  }

  private static JsonNode requestLine(List<String> lines, String id) throws Exception {
    for (String line : lines) {
      JsonNode read = new ObjectMapper().readTree(line);
      if (read.path("request_id").asText().equals(id)) {
        return read;
      }
    }
    throw new AssertionError("no line of " + id + " in " + lines);
  }

  /** All that is logged meanwhile, as lines of JSON. */
  private static final class Captured implements AutoCloseable {
    private final Logger root = (Logger) LoggerFactory.getLogger("io.epidote");
    private final ListAppender<ILoggingEvent> events = new ListAppender<>();
    private final @Nullable Level before = root.getLevel();

    Captured() {
      // Tests log less than users do.
      root.setLevel(Level.INFO);
      events.start();
      root.addAppender(events);
    }

    List<String> lines() {
      JsonLines lines = new JsonLines();
      return new ArrayList<>(events.list)
          .stream()
              .map(
                  event -> new String(lines.encode(event), java.nio.charset.StandardCharsets.UTF_8))
              .toList();
    }

    @Override
    public void close() {
      root.detachAppender(events);
      root.setLevel(before);
    }
  }
}
