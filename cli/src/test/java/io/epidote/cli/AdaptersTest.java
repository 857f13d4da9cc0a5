package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.checkpoint.AdapterFixture;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.NotFound;
import io.epidote.proto.v1.AdapterStatus;
import io.epidote.proto.v1.AdapterTierStatus;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.LoadAdapterRequest;
import io.epidote.proto.v1.NodeAdapters;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.TextPrompt;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Adapters of a served model: every stage and the router know them. */
@Timeout(120)
class AdaptersTest {
  private static final Form FORM = Form.MIXTRAL;
  private static final int TOKENS = 16;
  private static final int REQUESTS = 16;
  private static final List<String> NAMES = List.of("", "one", "two", "three");
  private static final List<Map<Integer, List<Integer>>> EXPERTS =
      List.of(
          Map.of(0, List.of(0, 1), 1, List.of(2)),
          Map.of(0, List.of(1, 2, 3)),
          Map.of(0, List.of(0, 1, 2, 3), 1, List.of(0, 1, 2, 3)));

  /**
   * All prompts begin alike, so that a cache that took one adapter's blocks for another's shows.
   */
  private static final String BEGINNING = "what color is the circle and the square ? ".repeat(5);

  @TempDir Path folder;

  @BeforeEach
  void write() {
    Map<String, Tensor> base = CheckpointFixture.tensors(FORM, 5);
    CheckpointFixture.write(FORM, folder.resolve("base"), base);
    for (int i = 0; i < EXPERTS.size(); i++) {
      AdapterFixture.esft(folder.resolve(NAMES.get(i + 1)), FORM, EXPERTS.get(i), 40 + i);
      CheckpointFixture.write(
          FORM,
          folder.resolve("merged-" + NAMES.get(i + 1)),
          AdapterFixture.merge(base, AdapterFixture.experts(FORM, EXPERTS.get(i), 40 + i), 1));
    }
  }

  @Test
  void aMixedBatchAnswersAsEachMergedModelDoes() throws Exception {
    List<List<Integer>> expected = new ArrayList<>();
    for (int i = 0; i < REQUESTS; i++) {
      expected.add(List.of());
    }
    for (int model = 0; model < NAMES.size(); model++) {
      String merged = model == 0 ? "base" : "merged-" + NAMES.get(model);
      try (Cluster one = start(merged, "PD", Map.of());
          InferenceClient client = new InferenceClient(one.grpcAddress())) {
        for (int i = model; i < REQUESTS; i += NAMES.size()) {
          expected.set(i, client.generate(request("", i), text -> {}).tokenIds());
        }
      }
    }
    // Enough of them differ for a mistaken adapter to show.
    assertThat(new HashSet<>(expected)).hasSizeGreaterThan(REQUESTS / 2);
    takingTurnsInSlots(expected);
    for (String nodes : List.of("P,D", "PD", "P,P,D,D")) {
      try (Cluster cluster = start("base", nodes, Map.of("one", folder.resolve("one")));
          InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
        load(client, "two", "two", false);
        load(client, "three", "three", false);
        // Once more, when beginnings are found in the prefix caches.
        for (int round = 0; round < 2; round++) {
          assertThat(askAll(client)).as("%s, round %d", nodes, round).isEqualTo(expected);
        }
        ClusterAssertions.assertNothingInUse(cluster, NodeSpec.parseList(nodes).size());
      }
    }
  }

  /** The third adapter needs all slots, so that it and the others are never hot together. */
  private void takingTurnsInSlots(List<List<Integer>> expected) throws Exception {
    for (String nodes : List.of("PD", "P,D")) {
      ClusterOptions options = new ClusterOptions().onAnyPort();
      options.model.folder = folder.resolve("base");
      options.node.tiers.slots = "8";
      options.node.tiers.waitCap = Duration.ofMillis(200);
      NAMES.stream().skip(1).forEach(name -> options.node.adapters.put(name, folder.resolve(name)));
      try (Cluster cluster =
              LocalCluster.start(options, NodeSpec.parseList(nodes), new Progress());
          InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
        for (int round = 0; round < 3; round++) {
          assertThat(askAll(client)).as("%s, round %d", nodes, round).isEqualTo(expected);
        }
        int count = NodeSpec.parseList(nodes).size();
        ClusterAssertions.assertNothingInUse(cluster, count);
        for (NodeStatus node : client.load().getNodesList()) {
          AdapterTierStatus tiers = node.getAdapterTiers();
          assertThat(tiers.getHotSlots()).isLessThanOrEqualTo(8);
          assertThat(tiers.getSwitches()).isPositive();
          assertThat(tiers.getHits() + tiers.getWaits())
              .isEqualTo((count == 1 ? 2 : 1) * 3 * REQUESTS * 3 / 4);
          assertThat(node.getAdaptersList())
              .allSatisfy(each -> assertThat(each.getRequests()).isZero())
              .anySatisfy(each -> assertThat(each.getTier()).isEqualTo("hot"))
              .anySatisfy(each -> assertThat(each.getTier()).isNotEqualTo("hot"));
        }
      }
    }
  }

  @Test
  void adaptersAreListedServedAndRefusedByName() throws Exception {
    try (Cluster cluster = start("base", "P,D", Map.of());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      assertThat(ids(cluster)).containsExactly("base");
      assertThat(ask(cluster, "base:one").statusCode()).isEqualTo(404);
      load(client, "one", "one", false);
      assertThat(ids(cluster)).containsExactly("base", "base:one");
      HttpResponse<String> answer = ask(cluster, "base:one");
      assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
      assertThat(new ObjectMapper().readTree(answer.body()).get("model").asText())
          .isEqualTo("base:one");

      for (NodeAdapters node : client.listAdapters().getNodesList()) {
        AdapterStatus adapter = node.getAdapters(0);
        assertThat(adapter.getName()).isEqualTo("one");
        assertThat(adapter.getDigest()).hasSize(64);
        assertThat(adapter.getBytes()).isPositive();
        assertThat(adapter.getRequests()).isZero();
      }
      for (String wrong : List.of("base:two", "base:auto", "base:", "base:one:two", "other")) {
        HttpResponse<String> refused = ask(cluster, wrong);
        assertThat(refused.statusCode()).as(wrong).isEqualTo(404);
        assertThat(refused.body()).contains("error");
      }
      assertThatThrownBy(() -> client.generate(request("base:two", 1), text -> {}))
          .isInstanceOf(NotFound.class)
          .hasMessageContaining("adapter \"two\"");

      client.unloadAdapter("one");
      assertThat(ids(cluster)).containsExactly("base");
      assertThat(ask(cluster, "base:one").statusCode()).isEqualTo(404);
      assertThatThrownBy(() -> client.unloadAdapter("one")).isInstanceOf(NotFound.class);
      ClusterAssertions.assertNothingInUse(cluster, 2);
    }
  }

  /** A name that one stage does not know must not wait for anything. */
  @Test
  void anAdapterThatOneStageDoesNotKnowIsAnErrorAtOnce() throws Exception {
    try (Cluster cluster = start("base", "P,D", Map.of());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      NodeStatus prefill =
          client.load().getNodesList().stream()
              .filter(node -> node.getStagesList().contains(Stage.STAGE_PREFILL))
              .findFirst()
              .orElseThrow();
      try (InferenceClient node = new InferenceClient(prefill.getAddress())) {
        load(node, "one", "one", false);
      }
      assertThat(client.load().getNodesList())
          .anySatisfy(node -> assertThat(node.getAdaptersCount()).isEqualTo(1));
      assertThatThrownBy(() -> client.generate(request("base:one", 1), text -> {}))
          .isInstanceOf(NotFound.class)
          .hasMessageContaining("decode stage");
      assertThat(ids(cluster)).containsExactly("base");
    }
  }

  @Test
  void aLoadThatFailsChangesNothing() throws Exception {
    try (Cluster cluster = start("base", "P,D", Map.of("one", folder.resolve("one")));
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      List<Integer> before = client.generate(request("base:one", 1), text -> {}).tokenIds();
      assertThatThrownBy(() -> load(client, "one", "two", false))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("is loaded already");
      assertThatThrownBy(() -> load(client, "one", "base", true))
          .isInstanceOf(BadCheckpoint.class)
          .hasMessageContaining("no adapter's config");
      AdapterFixture.esft(folder.resolve("far"), FORM, Map.of(7, List.of(0)), 1);
      assertThatThrownBy(() -> load(client, "one", "far", true)).isInstanceOf(BadCheckpoint.class);
      assertThat(client.generate(request("base:one", 1), text -> {}).tokenIds()).isEqualTo(before);

      load(client, "one", "two", true);
      assertThat(client.generate(request("base:one", 1), text -> {}).tokenIds())
          .isNotEqualTo(before);
    }
  }

  @Test
  void requestsGoOnWhileAdaptersComeAndGo() throws Exception {
    try (Cluster cluster = start("base", "P,D", Map.of("one", folder.resolve("one")));
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService pool = Executors.newFixedThreadPool(4)) {
      List<Integer> base = client.generate(request("", 3), text -> {}).tokenIds();
      List<Integer> one = client.generate(request("base:one", 3), text -> {}).tokenIds();
      AtomicBoolean done = new AtomicBoolean();
      List<Future<Integer>> askers = new ArrayList<>();
      for (int i = 0; i < 4; i++) {
        boolean adapted = i % 2 == 1;
        askers.add(
            pool.submit(() -> {
              int answers = 0;
              while (!done.get()) {
                assertThat(
                        client
                            .generate(request(adapted ? "base:one" : "", 3), text -> {})
                            .tokenIds())
                    .isEqualTo(adapted ? one : base);
                answers++;
              }
              return answers;
            }));
      }
      for (int loads = 0; loads < 6; loads++) {
        load(client, "two", loads % 2 == 0 ? "two" : "three", false);
        client.unloadAdapter("two");
        // The same adapter in its own place: whoever runs on it finishes on it.
        load(client, "one", "one", true);
      }
      done.set(true);
      for (Future<Integer> asker : askers) {
        assertThat(asker.get()).isPositive();
      }
      ClusterAssertions.assertNothingInUse(cluster, 2);
      for (NodeAdapters node : client.listAdapters().getNodesList()) {
        assertThat(node.getAdaptersList())
            .extracting(AdapterStatus::getRequests)
            .containsExactly(0);
      }
    }
  }

  private static List<List<Integer>> askAll(InferenceClient client) throws Exception {
    try (ExecutorService pool = Executors.newFixedThreadPool(REQUESTS)) {
      List<Future<List<Integer>>> answers = new ArrayList<>();
      for (int i = 0; i < REQUESTS; i++) {
        String name = NAMES.get(i % NAMES.size());
        GenerateRequest request = request(name.isEmpty() ? "base" : "base:" + name, i);
        answers.add(pool.submit(() -> client.generate(request, text -> {}).tokenIds()));
      }
      List<List<Integer>> tokens = new ArrayList<>();
      for (Future<List<Integer>> answer : answers) {
        tokens.add(answer.get());
      }
      return tokens;
    }
  }

  private void load(InferenceClient client, String name, String adapter, boolean replace) {
    client.loadAdapter(
        LoadAdapterRequest.newBuilder()
            .setName(name)
            .setFolder(folder.resolve(adapter).toString())
            .setReplace(replace)
            .build());
  }

  private static List<String> ids(Cluster cluster) throws Exception {
    JsonNode models =
        new ObjectMapper()
            .readTree(
                HttpClient.newHttpClient()
                    .send(
                        HttpRequest.newBuilder(
                                URI.create("http://" + cluster.httpAddress() + "/v1/models"))
                            .build(),
                        HttpResponse.BodyHandlers.ofString())
                    .body());
    List<String> ids = new ArrayList<>();
    models.get("data").forEach(model -> ids.add(model.get("id").asText()));
    return ids;
  }

  private static HttpResponse<String> ask(Cluster cluster, String model) throws Exception {
    String body =
        "{\"model\": \"%s\", \"max_tokens\": 4, \"messages\": [{\"role\": \"user\", \"content\": \"what is the circle\"}]}"
            .formatted(model);
    return HttpClient.newHttpClient()
        .send(
            HttpRequest.newBuilder(
                    URI.create("http://" + cluster.httpAddress() + "/v1/chat/completions"))
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build(),
            HttpResponse.BodyHandlers.ofString());
  }

  private Cluster start(String model, String nodes, Map<String, Path> adapters) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = folder.resolve(model);
    options.node.adapters.putAll(adapters);
    return LocalCluster.start(options, NodeSpec.parseList(nodes), new Progress());
  }

  private static GenerateRequest request(String model, int number) {
    return GenerateRequest.newBuilder()
        .setModel(model)
        .setText(
            TextPrompt.newBuilder()
                .setText(BEGINNING + "how many red ".repeat(1 + number / NAMES.size())))
        .setSampling(
            SamplingParams.newBuilder().setTemperature(0).setMaxTokens(TOKENS).setIgnoreEos(true))
        .build();
  }
}
