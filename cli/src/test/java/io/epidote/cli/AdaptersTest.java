package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.checkpoint.AdapterFixture;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.NotFound;
import io.epidote.proto.v1.AdapterStatus;
import io.epidote.proto.v1.AdapterTierStatus;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.NodeAdapters;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.TextPrompt;
import io.epidote.router.auto.TextFeatures;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Adapters of a served model: every stage and the router know them. */
@Timeout(120)
class AdaptersTest extends AdapterTestModel {
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
          InferenceClient client = new InferenceClient(cluster.grpcAddress());
          InferenceClient admin = new InferenceClient(cluster.adminAddress())) {
        load(admin, "two", "two", false);
        load(admin, "three", "three", false);
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
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        InferenceClient admin = new InferenceClient(cluster.adminAddress())) {
      assertThat(ids(cluster)).containsExactly("base");
      assertThat(ask(cluster, "base:one").statusCode()).isEqualTo(404);
      load(admin, "one", "one", false);
      assertThat(ids(cluster)).containsExactly("base", "base:one");
      HttpResponse<String> answer = ask(cluster, "base:one");
      assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
      assertThat(new ObjectMapper().readTree(answer.body()).get("model").asText())
          .isEqualTo("base:one");

      for (NodeAdapters node : admin.listAdapters().getNodesList()) {
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

      admin.unloadAdapter("one");
      assertThat(ids(cluster)).containsExactly("base");
      assertThat(ask(cluster, "base:one").statusCode()).isEqualTo(404);
      assertThatThrownBy(() -> admin.unloadAdapter("one")).isInstanceOf(NotFound.class);
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
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        InferenceClient admin = new InferenceClient(cluster.adminAddress())) {
      List<Integer> before = client.generate(request("base:one", 1), text -> {}).tokenIds();
      assertThatThrownBy(() -> load(admin, "one", "two", false))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("is loaded already");
      assertThatThrownBy(() -> load(admin, "one", "base", true))
          .isInstanceOf(BadCheckpoint.class)
          .hasMessageContaining("no adapter's config");
      AdapterFixture.esft(folder.resolve("far"), FORM, Map.of(7, List.of(0)), 1);
      assertThatThrownBy(() -> load(admin, "one", "far", true)).isInstanceOf(BadCheckpoint.class);
      assertThat(client.generate(request("base:one", 1), text -> {}).tokenIds()).isEqualTo(before);

      load(admin, "one", "two", true);
      assertThat(client.generate(request("base:one", 1), text -> {}).tokenIds())
          .isNotEqualTo(before);
    }
  }

  @Test
  void requestsGoOnWhileAdaptersComeAndGo() throws Exception {
    try (Cluster cluster = start("base", "P,D", Map.of("one", folder.resolve("one")));
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        InferenceClient admin = new InferenceClient(cluster.adminAddress());
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
        load(admin, "two", loads % 2 == 0 ? "two" : "three", false);
        admin.unloadAdapter("two");
        // The same adapter in its own place: whoever runs on it finishes on it.
        load(admin, "one", "one", true);
      }
      done.set(true);
      for (Future<Integer> asker : askers) {
        assertThat(asker.get()).isPositive();
      }
      ClusterAssertions.assertNothingInUse(cluster, 2);
      for (NodeAdapters node : admin.listAdapters().getNodesList()) {
        assertThat(node.getAdaptersList())
            .extracting(AdapterStatus::getRequests)
            .containsExactly(0);
      }
    }
  }

  /** {@code MODEL:auto}: the answer says what was chosen; unsure or not loaded, it is the base. */
  @Test
  void theTextChoosesTheAdapterAndTheAnswerSaysWhich() throws Exception {
    Path file = folder.resolve("router.json");
    Files.writeString(file, classifier());
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = folder.resolve("base");
    options.router.classifier = file;
    options.node.adapters.put("one", folder.resolve("one"));
    try (Cluster cluster = LocalCluster.start(options, NodeSpec.parseList("P,D"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      for (var expected :
          Map.of("the circle", "base:one", "the square", "base", "how many red", "base")
              .entrySet()) {
        GenerateRequest auto = text("base:auto", expected.getKey());
        InferenceClient.Answer answer = client.generate(auto, text -> {});
        assertThat(answer.model()).as(expected.getKey()).isEqualTo(expected.getValue());
        // It is what the chosen one answers.
        assertThat(answer.tokenIds())
            .isEqualTo(
                client
                    .generate(text(expected.getValue(), expected.getKey()), text -> {})
                    .tokenIds());
      }
      HttpResponse<String> answer = ask(cluster, "base:auto");
      assertThat(new ObjectMapper().readTree(answer.body()).get("model").asText())
          .isEqualTo("base:one");
      assertThat(metrics(cluster))
          .contains("epidote_auto_choices_total{adapter=\"one\"} 2.0")
          .contains("epidote_auto_choices_total{adapter=\"base\"} 2.0");
      ClusterAssertions.assertNothingInUse(cluster, 2);
    }
  }

  /**
   * One that knows "circle" for adapter one, "square" for an adapter that is not loaded, and is not
   * sure of anything else.
   */
  private static String classifier() {
    int buckets = 1024;
    StringBuilder weights = new StringBuilder();
    for (var label : Map.of("base", "", "one", "circle", "gone", "square").entrySet()) {
      float[] row = new float[buckets];
      if (!label.getValue().isEmpty()) {
        for (int feature : TextFeatures.of(label.getValue(), buckets)) {
          row[feature] = 20;
        }
      }
      weights.append(weights.isEmpty() ? "" : ",").append("\"%s\":".formatted(label.getKey()));
      weights.append(Arrays.toString(row));
    }
    return """
    {"type":"word-pair-softmax","version":1,"buckets":%d,"temperature":1.0,"threshold":0.7,
     "labels":["base","one","gone"],"bias":[0.0,0.5,0.0],"weights":{%s}}
    """
        .formatted(buckets, weights);
  }

  private static GenerateRequest text(String model, String text) {
    return GenerateRequest.newBuilder()
        .setModel(model)
        .setText(TextPrompt.newBuilder().setText(text))
        .setSampling(
            SamplingParams.newBuilder().setTemperature(0).setMaxTokens(TOKENS).setIgnoreEos(true))
        .build();
  }

  private static String metrics(Cluster cluster) throws Exception {
    return HttpClient.newHttpClient()
        .send(
            HttpRequest.newBuilder(URI.create("http://" + cluster.httpAddress() + "/metrics"))
                .build(),
            HttpResponse.BodyHandlers.ofString())
        .body();
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
}
