package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What the orders of a queue are for, on emulated nodes whose prompts take 1 ms a token. */
class OrderTest {
  private static final int LONG = 8;
  private static final int SHORT = 5;
  private static final double TIGHT_MS = 1500;
  private static final double LOOSE_MS = 60_000;

  /**
   * @param longs times to first token of long prompts, which came first, milliseconds
   * @param shorts of the short ones
   */
  private record Seen(List<Double> longs, List<Double> shorts) {
    double mean() {
      return Stream.concat(longs.stream(), shorts.stream())
          .mapToDouble(ms -> ms)
          .average()
          .orElseThrow();
    }

    /** Of those with a tight target. */
    long met() {
      return shorts.stream().filter(ms -> ms <= TIGHT_MS).count();
    }
  }

  @Test
  void shortestFirstLowersTheMeanTimeToFirstToken() {
    Seen inOrder = serve("fcfs");
    Seen shortest = serve("sjf");
    assertThat(shortest.mean()).isLessThan(0.85 * inOrder.mean());
    assertThat(inOrder.met()).isZero();
  }

  @Test
  void bySlackMoreMeetTheirTargets() {
    Seen slack = serve("slack");
    assertThat(slack.met()).isEqualTo(SHORT);
    assertThat(slack.longs()).allSatisfy(ms -> assertThat(ms).isLessThan(LOOSE_MS));
  }

  private static Seen serve(String order) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(CostProfile.parse("prefill_step_ms:1,prompt_token_ms:1"));
    // Short steps, so that the node is heard and hears between them.
    options.node.prefillStep = 64;
    options.node.orders = StageOrders.parse(order);
    try (Cluster cluster = LocalCluster.start(options, NodeSpec.parseList("EPD"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
      // Costs are measured before they are believed.
      for (int i = 0; i < 6; i++) {
        client.generate(prompt(50 + i, 10 * i, LOOSE_MS), text -> {});
      }
      List<CompletableFuture<Double>> longs = new ArrayList<>();
      for (int i = 0; i < LONG; i++) {
        longs.add(start(client, clients, prompt(i, 400, LOOSE_MS)));
      }
      await()
          .pollDelay(Duration.ZERO)
          .atMost(Duration.ofSeconds(20))
          .until(() ->
              client.load().getNodesList().stream()
                      .mapToInt(node -> node.getRunning() + node.getQueued())
                      .sum()
                  >= LONG - 2);
      List<CompletableFuture<Double>> shorts = new ArrayList<>();
      for (int i = 0; i < SHORT; i++) {
        shorts.add(start(client, clients, prompt(100 + i, 10, TIGHT_MS)));
      }
      Seen seen =
          new Seen(
              longs.stream().map(CompletableFuture::join).toList(),
              shorts.stream().map(CompletableFuture::join).toList());
      ClusterAssertions.assertNothingInUse(cluster, 1);
      return seen;
    }
  }

  private static CompletableFuture<Double> start(
      InferenceClient client, ExecutorService clients, GenerateRequest request) {
    return CompletableFuture.supplyAsync(
        () -> client.generate(request, text -> {}).finished().getTimeline().getTtftMs(), clients);
  }

  /** Prompts of different names have no beginning in common. */
  private static GenerateRequest prompt(int name, int words, double ttftMs) {
    return InferenceClient.question(
            "",
            List.of(),
            name + " red".repeat(words),
            SamplingParams.newBuilder().setTemperature(0).setMaxTokens(1).build())
        .toBuilder()
        .setSloTtftMs(ttftMs)
        .build();
  }
}
