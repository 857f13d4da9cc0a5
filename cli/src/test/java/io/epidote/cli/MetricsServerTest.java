package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.checkpoint.AdapterFixture;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.node.BuildInfo;
import io.epidote.node.NodeRuntime;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.HotExpert;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.TextPrompt;
import io.epidote.router.Router;
import io.epidote.router.RouterConfig;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What a node tells of its experts, to Prometheus and to people. */
@Timeout(60)
class MetricsServerTest {
  @TempDir Path folder;

  @Test
  void whatExpertsAreGivenIsInMetricsAndStatus() throws Exception {
    Path model = CheckpointFixture.write(Form.MIXTRAL, folder.resolve("base"), 5);
    ClusterOptions options = new ClusterOptions();
    options.node.adapters.put(
        "one",
        AdapterFixture.esft(folder.resolve("one"), Form.MIXTRAL, Map.of(0, List.of(0, 1)), 40));
    PrometheusMeterRegistry meters = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    try (Router router =
            Router.start(RouterConfig.of(model, Home.cache(), BuildInfo.VERSION).build());
        NodeRuntime node =
            NodeLauncher.start(
                new NodeLauncher.Settings(
                    NodeSpec.parseList("PD").getFirst(),
                    model,
                    "127.0.0.1",
                    "127.0.0.1",
                    0,
                    List.of("127.0.0.1:" + router.grpcPort()),
                    options.node),
                meters);
        MetricsServer server = MetricsServer.start("127.0.0.1", 0, "PD", "base", meters, node);
        InferenceClient client = new InferenceClient("127.0.0.1:" + router.grpcPort())) {
      Awaitility.await().until(node::isRegistered);
      assertThat(client.load().getNodes(0).getExperts().getLayersList()).isEmpty();
      for (String name : List.of("base", "base:one")) {
        client.generate(
            GenerateRequest.newBuilder()
                .setModel(name)
                .setText(TextPrompt.newBuilder().setText("how many red circles"))
                .setSampling(SamplingParams.newBuilder().setMaxTokens(4).setIgnoreEos(true))
                .build(),
            text -> {});
      }
      Awaitility.await()
          .untilAsserted(() -> {
            String text = get(server.port(), "/metrics").body();
            assertThat(text)
                .contains("epidote_experts_routed_total{adapter=\"(base)\",layer=\"0\"}")
                .contains("epidote_experts_routed_total{adapter=\"one\",layer=\"1\"}")
                .contains("epidote_experts_slots_lent 2.0")
                .containsPattern("epidote_experts_imbalance\\{layer=\"1\"\\} [1-4]\\.");
          });
      var load = client.load();
      assertThat(load.getNodes(0).getExperts().getLayersCount()).isEqualTo(2);
      assertThat(load.getNodes(0).getExperts().getLayers(0).getHottestList())
          .isNotEmpty()
          .extracting(HotExpert::getShare)
          .allMatch(share -> share > 0 && share <= 1);
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      StatusCommand.print(load, new PrintStream(out, true, StandardCharsets.UTF_8));
      assertThat(out.toString(StandardCharsets.UTF_8)).contains("hottest experts: layer");
      assertThat(get(server.port(), "/healthz").statusCode()).isEqualTo(200);
      assertThat(get(server.port(), "/readyz").statusCode()).isEqualTo(200);
      router.close();
      // Nobody would send it a request, but the process is in order.
      Awaitility.await()
          .untilAsserted(
              () -> assertThat(get(server.port(), "/readyz").statusCode()).isEqualTo(503));
      assertThat(get(server.port(), "/healthz").statusCode()).isEqualTo(200);
      assertThatThrownBy(
              () -> MetricsServer.start("127.0.0.1", server.port(), "PD", "base", meters, node))
          .isInstanceOf(Unavailable.class)
          .hasMessageContaining("--metrics-port");
    }
  }

  private static HttpResponse<String> get(int port, String path) throws Exception {
    return HttpClient.newHttpClient()
        .send(
            HttpRequest.newBuilder(URI.create("http://127.0.0.1:%d%s".formatted(port, path)))
                .build(),
            HttpResponse.BodyHandlers.ofString());
  }
}
