package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.Stage;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** A router that changes roles by itself, on emulated devices. */
class RolesFollowLoadTest {
  private static final int CLIENTS = 16;

  private static ClusterOptions options() {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(
        Home.profile("tile_ms:2,prompt_token_ms:0.01,decode_step_ms:2,decode_token_ms:4"));
    options.router.roles = "auto";
    options.router.roleCooldown = Duration.ofSeconds(1);
    return options;
  }

  private static String ask(InferenceClient client, int number, int tokens) {
    StringBuilder text = new StringBuilder();
    InferenceClient.Answer answer =
        client.generate(
            InferenceClient.question(
                "",
                List.of(),
                "question " + number,
                SamplingParams.newBuilder()
                    .setTemperature(0)
                    .setMaxTokens(tokens)
                    .setIgnoreEos(true)
                    .build()),
            text::append);
    assertThat(answer.finished().getUsage().getCompletionTokens()).isEqualTo(tokens);
    return text.toString();
  }

  private static ExplainResponse roles(LocalCluster cluster) {
    try (InferenceClient admin = new InferenceClient(cluster.adminAddress())) {
      return admin.explainRoles();
    }
  }

  /** Each client asks its question over and over; all its answers are the same. */
  private static void askAlike(LocalCluster cluster, int times, int tokens) throws Exception {
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService clients = Executors.newVirtualThreadPerTaskExecutor()) {
      List<Callable<List<String>>> all =
          IntStream.range(0, CLIENTS)
              .<Callable<List<String>>>mapToObj(number ->
                  () ->
                      IntStream.range(0, times).mapToObj(_ -> ask(client, number, tokens)).toList())
              .toList();
      for (Future<List<String>> each : clients.invokeAll(all)) {
        assertThat(each.get()).doesNotContainNull().hasSize(times);
        assertThat(each.get().stream().distinct()).hasSize(1);
      }
    }
  }

  @Test
  void decodeGetsTheNodesThatTextLeavesIdle() throws Exception {
    try (LocalCluster cluster =
        LocalCluster.start(options(), NodeSpec.parseList("E,E,E,P,D"), new Progress())) {
      askAlike(cluster, 4, 100);
      ExplainResponse roles = roles(cluster);
      assertThat(roles.getAutomatic()).isTrue();
      assertThat(roles.getSwitchesList())
          .isNotEmpty()
          .allSatisfy(each -> {
            assertThat(each.getError()).isEmpty();
            assertThat(each.getFromList()).containsExactly(Stage.STAGE_ENCODE);
            assertThat(each.getToList()).containsExactly(Stage.STAGE_DECODE);
            assertThat(each.getManual()).isFalse();
          })
          // One encode node stays.
          .hasSizeLessThanOrEqualTo(2);
    }
  }

  @Test
  void aLightLoadChangesNothing() throws Exception {
    try (LocalCluster cluster =
            LocalCluster.start(options(), NodeSpec.parseList("E,E,P,D,D"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      for (int i = 0; i < 30; i++) {
        ask(client, i, 10);
        Thread.sleep(200);
      }
      assertThat(roles(cluster).getSwitchesList()).isEmpty();
      assertThat(roles(cluster).getLast().getVerdict()).startsWith("stay");
    }
  }
}
