package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.checkpoint.AdapterFixture;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Tenants and adapters get their shares of emulated nodes, whatever others send. */
@Timeout(120)
class FairnessTest {
  private static final int FLOOD = 30;
  private static final int LATE = 4;
  private static final int PROMPT = 150;

  @TempDir Path folder;

  /** What a request is like besides its prompt. */
  private record Kind(String tenant, String model) {}

  /**
   * Milliseconds from the flood's beginning.
   *
   * @param late of the requests that came after the flood, from when they came
   * @param all until everybody is answered
   */
  private record Seen(double late, double all) {}

  @Test
  void aFloodingTenantDelaysOthersByTheirShareOnly() {
    Kind flood = new Kind("flood", "");
    Seen same = serve(Map.of(), flood, flood);
    Seen other = serve(Map.of(), flood, new Kind("other", ""));
    // Alone at the end of the line it waits for all of the flood, with half of the node for twice
    // its own work.
    assertThat(other.late()).isLessThan(0.6 * same.late());
    Seen heavy = serve(Map.of("other", 4.0), flood, new Kind("other", ""));
    assertThat(heavy.late()).isLessThan(0.8 * other.late());
    // Nothing is lost by it.
    assertThat(other.all()).isLessThan(1.25 * same.all());
  }

  @Test
  void aFloodedAdapterDelaysOthersByTheirShareOnly() {
    Seen same = serve(Map.of(), new Kind("", "scenes:one"), new Kind("", "scenes:one"));
    Seen other = serve(Map.of(), new Kind("", "scenes:one"), new Kind("", "scenes:two"));
    assertThat(other.late()).isLessThan(0.6 * same.late());
    assertThat(other.all()).isLessThan(1.25 * same.all());
  }

  /** A step holds one adapter: all are answered, and none waits for another's answers to end. */
  @Test
  void adaptersTakeTurnsWhereAStepHoldsFew() {
    ClusterOptions options = options("decode_step_ms:10,prompt_token_ms:0.01");
    options.node.maxAdaptersPerBatch = 1;
    List<String> models = List.of("scenes:one", "scenes:two", "scenes:three", "");
    try (Cluster cluster = LocalCluster.start(options, NodeSpec.parseList("P,D"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
      List<CompletableFuture<Double>> answers = new ArrayList<>();
      for (int i = 0; i < 12; i++) {
        GenerateRequest request = prompt(new Kind("", models.get(i % 4)), i, 5, 60);
        answers.add(
            CompletableFuture.supplyAsync(
                () -> client.generate(request, text -> {}).millis(), clients));
      }
      List<Double> millis = answers.stream().map(CompletableFuture::join).toList();
      double first = IntStream.of(0, 4, 8).mapToDouble(millis::get).min().orElseThrow();
      double last = IntStream.of(2, 6, 10).mapToDouble(millis::get).max().orElseThrow();
      double base = IntStream.of(3, 7, 11).mapToDouble(millis::get).max().orElseThrow();
      // One after the other, the last adapter's answers would take three times the first's.
      assertThat(last).isLessThan(2 * first);
      // The base is in every step, an adapter in one of three.
      assertThat(base).isLessThan(0.75 * first);
      ClusterAssertions.assertNothingInUse(cluster, 2);
    }
  }

  private ClusterOptions options(String costs) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(CostProfile.parse(costs));
    for (String name : List.of("one", "two", "three")) {
      AdapterFixture.esft(folder.resolve(name), Form.MIXTRAL, Map.of(0, List.of(0)), name.length());
      options.node.adapters.put(name, folder.resolve(name));
    }
    return options;
  }

  private Seen serve(Map<String, Double> weights, Kind flood, Kind late) {
    ClusterOptions options = options("prefill_step_ms:1,prompt_token_ms:1");
    // Short steps, so that turns come often.
    options.node.prefillStep = 64;
    options.node.tenants.byName.putAll(weights);
    try (Cluster cluster = LocalCluster.start(options, NodeSpec.parseList("EPD"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
      long start = System.nanoTime();
      Function<GenerateRequest, CompletableFuture<Double>> ask =
          request ->
              CompletableFuture.supplyAsync(
                  () -> client.generate(request, text -> {}).millis(), clients);
      List<CompletableFuture<Double>> first = new ArrayList<>();
      for (int i = 0; i < FLOOD; i++) {
        first.add(ask.apply(prompt(flood, i, PROMPT, 1)));
      }
      await()
          .pollDelay(Duration.ZERO)
          .atMost(Duration.ofSeconds(20))
          .until(() ->
              client.load().getNodesList().stream()
                      .mapToInt(node -> node.getRunning() + node.getQueued())
                      .sum()
                  >= FLOOD / 2);
      List<CompletableFuture<Double>> then = new ArrayList<>();
      for (int i = 0; i < LATE; i++) {
        then.add(ask.apply(prompt(late, 100 + i, PROMPT, 1)));
      }
      double last = then.stream().mapToDouble(CompletableFuture::join).max().orElseThrow();
      first.forEach(CompletableFuture::join);
      double all = (System.nanoTime() - start) / 1e6;
      ClusterAssertions.assertNothingInUse(cluster, 1);
      return new Seen(last, all);
    }
  }

  /** Prompts of different names have no beginning in common. */
  private static GenerateRequest prompt(Kind kind, int name, int words, int tokens) {
    return InferenceClient.question(
            kind.model(),
            List.of(),
            name + " red".repeat(words),
            SamplingParams.newBuilder()
                .setTemperature(0)
                .setMaxTokens(tokens)
                .setIgnoreEos(true)
                .build())
        .toBuilder()
        .setTenant(kind.tenant())
        .build();
  }
}
