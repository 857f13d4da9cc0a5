package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.node.BuildInfo;
import io.epidote.node.NodeRuntime;
import io.epidote.node.trace.Tracing;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.router.Router;
import io.epidote.router.RouterConfig;
import io.epidote.router.request.RequestWatch;
import io.epidote.router.request.Slo;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Deque;
import java.util.List;
import java.util.OptionalDouble;
import org.awaitility.Awaitility;

/** A router, and an encode, a prefill and a decode node, each with the metrics that it serves. */
final class WatchedCluster implements AutoCloseable {
  private static final String HOST = "127.0.0.1";
  private static final Path MODEL = Home.model("scenes");

  private final Deque<AutoCloseable> parts = new ArrayDeque<>();
  private final List<Integer> metricsPorts = new ArrayList<>();
  private final HttpClient http = HttpClient.newHttpClient();
  private final Router router;
  private final InferenceClient client;

  WatchedCluster() {
    this(Tracing.Options.NONE, RequestWatch.LogRules.NONE);
  }

  /**
   * @param tracing of router and nodes
   */
  WatchedCluster(Tracing.Options tracing, RequestWatch.LogRules log) {
    router =
        open(
            Router.start(
                RouterConfig.of(MODEL, Home.cache(), BuildInfo.VERSION)
                    .slo(new Slo(OptionalDouble.of(60_000), OptionalDouble.of(10_000)))
                    .tracing(tracing)
                    .requestLog(log)
                    .build()));
    metricsPorts.add(router.httpPort());
    ClusterOptions options = new ClusterOptions();
    options.node.tracing.endpoint = tracing.endpoint().map(URI::toString).orElse(null);
    options.node.adapters.put("colors", Home.model("scenes-adapters").resolve("colors"));
    List<NodeRuntime> nodes = new ArrayList<>();
    for (NodeSpec spec : NodeSpec.parseList("E,P,D")) {
      PrometheusMeterRegistry meters = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
      NodeRuntime node =
          open(
              NodeLauncher.start(
                  new NodeLauncher.Settings(
                      spec,
                      MODEL,
                      HOST,
                      HOST,
                      0,
                      List.of(HOST + ":" + router.grpcPort()),
                      options.node),
                  meters));
      nodes.add(node);
      MetricsServer metrics = MetricsServer.start(HOST, 0, spec.name(), "scenes", meters, node);
      metricsPorts.add(open(metrics).port());
    }
    client = open(new InferenceClient(HOST + ":" + router.grpcPort()));
    Awaitility.await().until(() -> router.ready());
  }

  private <T extends AutoCloseable> T open(T part) {
    parts.push(part);
    return part;
  }

  /** {@code host:port} of each process's metrics, the router's first. */
  List<String> metricsAddresses() {
    return metricsPorts.stream().map(port -> HOST + ":" + port).toList();
  }

  String grpcAddress() {
    return HOST + ":" + router.grpcPort();
  }

  /** One question over HTTP, with these headers (name, value, ...); its status. */
  int askOverHttp(String text, String... headers) throws Exception {
    String picture =
        Base64.getEncoder().encodeToString(Files.readAllBytes(MODEL.resolve("examples/small.png")));
    return http.send(
            HttpRequest.newBuilder(
                    URI.create(
                        "http://%s/v1/chat/completions".formatted(metricsAddresses().getFirst())))
                .headers(headers)
                .POST(
                    BodyPublishers.ofString(
                        """
                        {"model": "scenes", "max_tokens": 8, "temperature": 0, "messages": [{"role": "user", "content": [
                          {"type": "image_url", "image_url": {"url": "data:image/png;base64,%s"}},
                          {"type": "text", "text": "%s"}]}]}
                        """
                            .formatted(picture, text)))
                .build(),
            BodyHandlers.ofString())
        .statusCode();
  }

  /** One question with a picture, over gRPC. */
  InferenceClient.Answer ask(String model, String text) {
    try {
      return client.generate(
          InferenceClient.question(
              model,
              List.of(Files.readAllBytes(MODEL.resolve("examples/small.png"))),
              text,
              SamplingParams.newBuilder().setMaxTokens(8).setIgnoreEos(true).build()),
          piece -> {});
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  /** What a process says at /metrics, to a reader that accepts this. */
  String scrape(String address, String accept) throws Exception {
    var response =
        http.send(
            HttpRequest.newBuilder(URI.create("http://%s/metrics".formatted(address)))
                .header("Accept", accept)
                .build(),
            BodyHandlers.ofString());
    assertThat(response.statusCode()).isEqualTo(200);
    assertThat(response.headers().firstValue("Content-Type").orElseThrow()).startsWith(accept);
    return response.body();
  }

  @Override
  public void close() throws Exception {
    while (!parts.isEmpty()) {
      parts.pop().close();
    }
    http.close();
  }
}
