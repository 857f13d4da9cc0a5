package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.checkpoint.AdapterFixture;
import io.epidote.engine.checkpoint.CheckpointFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.NotFound;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.proto.v1.AdapterStatus;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.LoadAdapterRequest;
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
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

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

  /**
   * A node that fails when all have checked and some have loaded leaves all as they were, whether
   * it had loaded or not.
   */
  @ParameterizedTest
  @EnumSource(
      value = FailingAdapterNode.Failure.class,
      names = "NEVER",
      mode = EnumSource.Mode.EXCLUDE)
  void aLoadThatFailsOnOneNodeIsTakenBackOnAll(FailingAdapterNode.Failure failure)
      throws Exception {
    try (Cluster cluster = start("base", "P,D", Map.of());
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        InferenceClient admin = new InferenceClient(cluster.adminAddress())) {
      load(admin, "one", "one", false);
      List<Integer> before = client.generate(request("base:one", 1), text -> {}).tokenIds();
      try (FailingAdapterNode failing =
          new FailingAdapterNode(cluster.grpcAddress(), folder.resolve("base"))) {
        await().until(() -> ids(cluster).contains("base:one") && failing.isRegistered());
        // It joined late, and is given what the others have.
        await().until(() -> !failing.adapters.list().isEmpty());
        List<String> digests = digests(admin);
        assertThat(digests).hasSize(3).allMatch(digests.getFirst()::equals);

        failing.failure = failure;
        assertThatThrownBy(() -> load(admin, "one", "two", true))
            .isInstanceOf(Unavailable.class)
            .hasMessageContaining("failing");
        assertThat(digests(admin)).isEqualTo(digests);
        assertThatThrownBy(() -> load(admin, "new", "three", false))
            .isInstanceOf(Unavailable.class);
        assertThat(digests(admin)).isEqualTo(digests);

        failing.failure = FailingAdapterNode.Failure.NEVER;
        load(admin, "new", "three", false);
        assertThat(digests(admin)).hasSize(6);
      }
      await().until(() -> client.load().getNodesCount() == 2);
      assertThat(client.generate(request("base:one", 1), text -> {}).tokenIds()).isEqualTo(before);
      ClusterAssertions.assertNothingInUse(cluster, 2);
    }
  }

  private static List<String> digests(InferenceClient admin) {
    return admin.listAdapters().getNodesList().stream()
        .flatMap(node -> node.getAdaptersList().stream())
        .map(AdapterStatus::getDigest)
        .toList();
  }

  @Test
  void aNodeThatJoinsLaterHasTheAdaptersOfTheOthers() throws Exception {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = folder.resolve("base");
    try (LocalCluster cluster =
            LocalCluster.start(options, NodeSpec.parseList("PD"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        InferenceClient admin = new InferenceClient(cluster.adminAddress())) {
      load(admin, "one", "one", false);
      load(admin, "two", "two", false);
      admin.unloadAdapter("two");
      List<Integer> expected = client.generate(request("base:one", 1), text -> {}).tokenIds();
      cluster.addNode(options, new NodeSpec("late", NodeSpec.parseStages("prefill,decode")));
      await()
          .atMost(Duration.ofSeconds(20))
          .untilAsserted(
              () ->
                  assertThat(admin.listAdapters().getNodesList())
                      .hasSize(2)
                      .allSatisfy(
                          node ->
                              assertThat(node.getAdaptersList())
                                  .extracting(AdapterStatus::getName)
                                  .containsExactly("one")));
      cluster.stopNode(0);
      await().until(() -> client.load().getNodesCount() == 1);
      assertThat(client.generate(request("base:one", 1), text -> {}).tokenIds())
          .isEqualTo(expected);
    }
  }

  @Test
  void aFolderOfAdaptersIsFollowed() throws Exception {
    Path watched = Files.createDirectories(folder.resolve("watched"));
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.model.folder = folder.resolve("base");
    options.router.adapterFolder = watched;
    try (Cluster cluster = LocalCluster.start(options, NodeSpec.parseList("P,D"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      AdapterFixture.esft(watched.resolve("mine"), FORM, EXPERTS.get(0), 40);
      Files.createDirectories(watched.resolve("bad"));
      Files.writeString(watched.resolve("bad/expert_cfg.json"), "{}");
      await()
          .atMost(Duration.ofSeconds(20))
          .until(() -> ids(cluster).equals(List.of("base", "base:mine")));
      List<Integer> first = client.generate(request("base:mine", 1), text -> {}).tokenIds();
      AdapterFixture.esft(watched.resolve("mine"), FORM, EXPERTS.get(0), 77);
      await()
          .atMost(Duration.ofSeconds(20))
          .until(
              () -> !client.generate(request("base:mine", 1), text -> {}).tokenIds().equals(first));
      Files.move(watched.resolve("mine"), folder.resolve("taken-away"));
      await().atMost(Duration.ofSeconds(20)).until(() -> ids(cluster).equals(List.of("base")));
      ClusterAssertions.assertNothingInUse(cluster, 2);
    }
  }

  /** Whoever reaches the clients' port cannot change adapters; nobody loads from anywhere. */
  @Test
  void adaptersAreChangedAtTheirOwnPortAndFromAllowedFoldersOnly() throws Exception {
    Path outside = Files.createTempDirectory("outside");
    AdapterFixture.esft(outside, FORM, EXPERTS.get(0), 40);
    try (Cluster cluster = start("base", "P,D", Map.of());
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        InferenceClient admin = new InferenceClient(cluster.adminAddress())) {
      assertThatThrownBy(() -> load(client, "one", "one", false))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("--admin-port");
      assertThatThrownBy(() -> load(admin, "one", outside.toString(), false))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("--adapter-root");
      Files.createSymbolicLink(folder.resolve("link"), outside);
      assertThatThrownBy(() -> load(admin, "one", "link", false))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("--adapter-root");
      // Nodes look for themselves.
      try (InferenceClient node = new InferenceClient(client.load().getNodes(0).getAddress())) {
        assertThatThrownBy(() -> load(node, "one", outside.toString(), false))
            .isInstanceOf(InvalidRequest.class)
            .hasMessageContaining("--adapter-root");
      }
      assertThat(ids(cluster)).containsExactly("base");
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

  /** The short form of {@code bench adapters --only churn}. */
  @Test
  void nothingFailsOrLeaksWhileAdaptersComeAndGo() throws Exception {
    try (Cluster cluster = start("base", "P,D", Map.of())) {
      ChurnBench.Result result =
          new ChurnBench(
                  cluster,
                  "base",
                  List.of(folder.resolve("one"), folder.resolve("two"), folder.resolve("three")),
                  3,
                  24)
              .run(Duration.ofMillis(1500), 4, new Progress());
      assertThat(result.failures()).isEmpty();
      assertThat(result.loads()).isGreaterThan(3);
      assertThat(result.slotsLeaked()).isZero();
      assertThat(result.quiet()).isNotEmpty();
      assertThat(result.loading()).isNotEmpty();
      ClusterAssertions.assertNothingInUse(cluster, 2);
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
