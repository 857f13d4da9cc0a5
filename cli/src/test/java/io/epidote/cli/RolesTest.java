package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.proto.stage.v1.NodeControlGrpc;
import io.epidote.proto.stage.v1.SwitchRoleRequest;
import io.epidote.proto.stage.v1.SwitchRoleResponse;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.MemoryUse;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.RolePhase;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.WeightGroup;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** A node changes its stages while its process, its ports and its registration stay. */
@Timeout(280)
class RolesTest {
  private static final String SPARE = "spare";

  /** From each stage to each other. */
  private static final List<String> WAY = List.of("P", "E", "D", "P", "D", "E", "P");

  /** And on: stages come to others, and go again. */
  private static final List<String> SHARING = List.of("D", "ED", "E", "ED", "P");

  private static List<NodeSpec> specs(String spare) {
    List<NodeSpec> specs = new ArrayList<>(NodeSpec.parseList("E,P,D"));
    specs.add(new NodeSpec(SPARE, stages(spare)));
    return specs;
  }

  private static Set<Stage> stages(String letters) {
    return NodeSpec.parseList(letters).getFirst().stages();
  }

  private static NodeStatus spare(InferenceClient client) {
    return client.load().getNodesList().stream()
        .filter(node -> node.getNodeId().equals(SPARE))
        .findFirst()
        .orElseThrow();
  }

  private static SwitchRoleResponse switchTo(
      String address, Set<Stage> stages, long generation, int drainMs) {
    ManagedChannel channel =
        NettyChannelBuilder.forTarget("dns:///" + address).usePlaintext().build();
    try {
      return NodeControlGrpc.newBlockingStub(channel)
          .withDeadlineAfter(60, TimeUnit.SECONDS)
          .switchRole(
              SwitchRoleRequest.newBuilder()
                  .addAllStages(stages)
                  .setExpectedGeneration(generation)
                  .setDrainMs(drainMs)
                  .build());
    } finally {
      channel.shutdownNow();
    }
  }

  private static List<GenerateRequest> questions(int count) {
    List<GenerateRequest> questions = new ArrayList<>();
    for (Task task : SceneSet.heldOut(31).limit(count).toList()) {
      questions.add(
          InferenceClient.question(
              "",
              task.pictures().stream().map(EvalCommand::png).toList(),
              task.question(),
              SamplingParams.newBuilder().setTemperature(0).setMaxTokens(24).build()));
    }
    return questions;
  }

  private static List<List<Integer>> ask(InferenceClient client, List<GenerateRequest> requests) {
    return requests.stream()
        .map(request -> client.generate(request, text -> {}).tokenIds())
        .toList();
  }

  @Test
  void everyChangeLeavesAnswersAsTheyWereAndTheWeightsOfTheNewStageOnly() throws Exception {
    List<GenerateRequest> questions = questions(6);
    try (ProcessCluster cluster =
            ProcessCluster.start(
                new ClusterOptions().onAnyPort(), specs(WAY.getFirst()), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      long pid = cluster.children().getLast().process().pid();
      List<List<Integer>> expected = ask(client, questions);
      String address = spare(client).getAddress();
      for (int i = 1; i < WAY.size(); i++) {
        Set<Stage> to = stages(WAY.get(i));
        SwitchRoleResponse done = switchTo(address, to, i - 1, 2000);
        print("models/scenes", WAY.get(i - 1) + " to " + WAY.get(i), done);
        assertThat(done.getRoleGeneration()).isEqualTo(i);
        assertThat(done.getPhasesList())
            .extracting(RolePhase::getName)
            .containsExactlyInAnyOrder("hand_over", "load", "drain", "unload", "admit");
        // The router knows by the time the call returns.
        NodeStatus now = spare(client);
        assertThat(now.getAddress()).isEqualTo(address);
        assertThat(new HashSet<>(now.getStagesList())).isEqualTo(to);
        assertThat(now.getRoleGeneration()).isEqualTo(i);
        assertThat(now.getDraining()).isFalse();
        assertThat(now.getFault()).isEmpty();
        assertThat(now.getWeightsList())
            .extracting(WeightGroup::getName)
            .containsExactlyElementsOf(weights(to));
        assertThat(mappedWeights(pid)).as("weights of the process").isEqualTo(weights(to));
        assertThat(now.getKvBlocksTotal() > 0).isEqualTo(weights(to).contains("decoder"));
        assertThat(ask(client, questions)).isEqualTo(expected);
      }
      ClusterAssertions.assertNothingInUse(cluster, 4);
      assertThat(spare(client).getIntegrityChecks()).isGreaterThanOrEqualTo(WAY.size() - 1);
    }
  }

  private static Set<String> weights(Set<Stage> stages) {
    Set<String> weights = new HashSet<>();
    stages.forEach(stage -> weights.add(stage == Stage.STAGE_ENCODE ? "vision" : "decoder"));
    return weights;
  }

  /** Which graphs' weights a process has mapped, by the names of their folders. */
  private static Set<String> mappedWeights(long pid) throws IOException {
    return Files.readAllLines(Path.of("/proc/" + pid + "/maps")).stream()
        .filter(line -> line.endsWith("/weights.bin"))
        .map(line -> line.contains("-vision-") ? "vision" : "decoder")
        .collect(Collectors.toSet());
  }

  /** Every request that runs meanwhile gets the answer that it would have got. */
  @Test
  void underLoadNoRequestFailsAndNoAnswerChanges() throws Exception {
    List<String> way = Stream.concat(WAY.stream(), SHARING.stream()).toList();
    List<GenerateRequest> questions = questions(24);
    try (ProcessCluster cluster =
            ProcessCluster.start(
                new ClusterOptions().onAnyPort(), specs(way.getFirst()), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService pool = Executors.newFixedThreadPool(6)) {
      List<List<Integer>> expected = ask(client, questions);
      String address = spare(client).getAddress();
      long pid = cluster.children().getLast().process().pid();
      AtomicBoolean over = new AtomicBoolean();
      AtomicInteger answered = new AtomicInteger();
      List<Future<?>> askers = new ArrayList<>();
      for (int asker = 0; asker < 6; asker++) {
        int first = asker;
        askers.add(
            pool.submit(() -> {
              for (int i = first; !over.get(); i = (i + 1) % questions.size()) {
                assertThat(client.generate(questions.get(i), text -> {}).tokenIds())
                    .isEqualTo(expected.get(i));
                answered.incrementAndGet();
              }
            }));
      }
      try {
        for (int i = 1; i < way.size(); i++) {
          int before = answered.get();
          await()
              .atMost(Duration.ofSeconds(30))
              .until(() -> answered.get() > before + 10 || isAnyDone(askers));
          SwitchRoleResponse done = switchTo(address, stages(way.get(i)), i - 1, i % 2 * 2000);
          print("under load", way.get(i - 1) + " to " + way.get(i), done);
          if (stages(way.get(i)).containsAll(stages(way.get(i - 1)))) {
            // What the node has goes on, and is not drained.
            assertThat(done.getPhasesList())
                .extracting(RolePhase::getName)
                .containsExactly("load", "admit");
          }
          assertThat(mappedWeights(pid))
              .as("weights of the process as %s", way.get(i))
              .isEqualTo(weights(stages(way.get(i))));
        }
      } finally {
        over.set(true);
      }
      for (Future<?> asker : askers) {
        asker.get();
      }
      System.err.printf("%d answers under load%n", answered.get());
      ClusterAssertions.assertNothingInUse(cluster, 4);
      assertThat(client.load().getNodesList())
          .allSatisfy(node -> assertThat(node.getFault()).isEmpty());
    }
  }

  private static boolean isAnyDone(List<Future<?>> futures) {
    return futures.stream().anyMatch(Future::isDone);
  }

  /** Memory that requests have touched goes back to the system with the stage. */
  @Test
  void memoryOfTheOldStageIsFreed() {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    List<NodeSpec> specs = new ArrayList<>(NodeSpec.parseList("E"));
    specs.add(new NodeSpec(SPARE, stages("PD")));
    try (ProcessCluster cluster = ProcessCluster.start(options, specs, new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      // Much beside what a JVM takes and gives back while it compiles.
      for (int i = 0; i < 64; i++) {
        client.generate(
            InferenceClient.question(
                "",
                List.of(),
                words(i),
                SamplingParams.newBuilder().setTemperature(0).setMaxTokens(4).build()),
            text -> {});
      }
      NodeStatus before =
          await()
              .atMost(Duration.ofSeconds(20))
              .until(() -> spare(client), node -> kind(node, "kv") > 24 << 20);
      // What nobody accounts for must not be where the pool went. Compilers take some of it and
      // give
      // it back, before the change, too: what it was is the more of two looks, seconds apart.
      NodeStatus later =
          await()
              .pollDelay(Duration.ofSeconds(6))
              .atMost(Duration.ofSeconds(20))
              .until(() -> spare(client), node -> node.getMemoryCount() > 0);
      long rest = Math.max(kind(before, "rest"), kind(later, "rest"));
      long most = rest + kind(before, "kv") / 2;
      var unused = switchTo(before.getAddress(), stages("E"), 0, 2000);
      NodeStatus after =
          await()
              .atMost(Duration.ofSeconds(30))
              .until(
                  () -> spare(client),
                  node -> node.getMemoryCount() > 0 && kind(node, "rest") < most);
      assertThat(kind(after, "kv")).isZero();
      System.err.printf(
          "resident: PD %,d, of which KV %,d and weights %,d; as E %,d, of which weights %,d, rest %,d after %,d%n",
          before.getResidentBytes(),
          kind(before, "kv"),
          kind(before, "weights_mapped"),
          after.getResidentBytes(),
          kind(after, "weights_mapped"),
          rest,
          kind(after, "rest"));
    }
  }

  /** Hundreds of the model's words, in an order of their own. */
  private static String words(int seed) {
    List<String> words = List.of("how", "many", "red", "circles", "are", "there");
    return new Random(seed)
        .ints(300, 0, words.size())
        .mapToObj(words::get)
        .collect(Collectors.joining(" "));
  }

  private static long kind(NodeStatus node, String kind) {
    return node.getMemoryList().stream()
        .filter(use -> use.getKind().equals(kind))
        .mapToLong(MemoryUse::getBytes)
        .sum();
  }

  @Test
  void whoeverIsBehindChangesNothing() {
    try (LocalCluster cluster = emulated("P");
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      String address = spare(client).getAddress();
      assertCode(Status.Code.ABORTED, () -> switchTo(address, stages("D"), 7, 0));
      assertThat(spare(client).getStagesList()).containsExactly(Stage.STAGE_PREFILL);
      assertThat(switchTo(address, stages("D"), 0, 0).getRoleGeneration()).isEqualTo(1);
      assertCode(Status.Code.ABORTED, () -> switchTo(address, stages("P"), 0, 0));
      assertCode(Status.Code.INVALID_ARGUMENT, () -> switchTo(address, Set.of(), 1, 0));
      assertThat(spare(client).getStagesList()).containsExactly(Stage.STAGE_DECODE);
      // What it has already costs nothing and counts for nothing.
      SwitchRoleResponse same = switchTo(address, stages("D"), 1, 0);
      assertThat(same.getPhasesList()).isEmpty();
      assertThat(same.getRoleGeneration()).isEqualTo(1);
    }
  }

  @Test
  void aRoleThatCannotBeLoadedLeavesTheOldOne() {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    // One decoder cannot be both.
    options.node.precisions = StagePrecisions.parse("prefill=fp32,decode=int8");
    try (LocalCluster cluster = LocalCluster.start(options, specs("P"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      List<GenerateRequest> questions = questions(2);
      List<List<Integer>> expected = ask(client, questions);
      String address = spare(client).getAddress();
      StatusRuntimeException refused =
          assertCode(
              Status.Code.FAILED_PRECONDITION, () -> switchTo(address, stages("PD"), 0, 500));
      assertThat(refused.getStatus().getDescription()).contains("one decoder", SPARE);
      NodeStatus now = spare(client);
      assertThat(now.getDraining()).isFalse();
      assertThat(now.getStagesList()).containsExactly(Stage.STAGE_PREFILL);
      assertThat(now.getRoleGeneration()).isZero();
      assertThat(ask(client, questions)).isEqualTo(expected);
      ClusterAssertions.assertNothingInUse(cluster, 4);
    }
  }

  @Test
  void emulatedDevicesChangeTheirStages() {
    try (LocalCluster cluster = emulated(WAY.getFirst());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      List<GenerateRequest> questions = questions(3);
      List<List<Integer>> expected = ask(client, questions);
      String address = spare(client).getAddress();
      for (int i = 1; i < WAY.size(); i++) {
        SwitchRoleResponse done = switchTo(address, stages(WAY.get(i)), i - 1, 2000);
        print("emulated", WAY.get(i - 1) + " to " + WAY.get(i), done);
        assertThat(ask(client, questions)).isEqualTo(expected);
      }
      ClusterAssertions.assertNothingInUse(cluster, 4);
    }
  }

  /** Three requests one after the other, each of which would wait for a step of decode to end. */
  @Test
  void aTileWaitsForNoStepOfDecode() throws Exception {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(
        CostProfile.parse("tile_ms:1,prefill_step_ms:1,prompt_token_ms:0.01,decode_step_ms:1500"));
    try (LocalCluster cluster =
            LocalCluster.start(options, NodeSpec.parseList("ED,P"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress());
        ExecutorService pool = Executors.newFixedThreadPool(1)) {
      List<GenerateRequest> questions = questions(4);
      AtomicInteger steps = new AtomicInteger();
      Future<?> streaming =
          pool.submit(() ->
              client.generate(
                  withTokens(questions.getFirst(), 4), text -> steps.incrementAndGet()));
      await().atMost(Duration.ofSeconds(30)).until(() -> steps.get() > 0);
      int before = steps.get();
      for (GenerateRequest question : questions.subList(1, 4)) {
        assertThat(client.generate(withTokens(question, 1), text -> {}).tokenIds()).hasSize(1);
      }
      assertThat(steps.get() - before).as("steps of decode meanwhile").isLessThan(2);
      streaming.get();
      ClusterAssertions.assertNothingInUse(cluster, 2);
    }
  }

  private static GenerateRequest withTokens(GenerateRequest request, int most) {
    GenerateRequest.Builder other = request.toBuilder();
    other.getSamplingBuilder().setMaxTokens(most);
    return other.build();
  }

  private static LocalCluster emulated(String spare) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(
        CostProfile.parse("tile_ms:1,prefill_step_ms:1,prompt_token_ms:0.01,decode_step_ms:2"));
    return LocalCluster.start(options, specs(spare), new Progress());
  }

  private static StatusRuntimeException assertCode(Status.Code code, Runnable call) {
    StatusRuntimeException[] thrown = new StatusRuntimeException[1];
    assertThatThrownBy(call::run)
        .isInstanceOfSatisfying(StatusRuntimeException.class, error -> thrown[0] = error);
    assertThat(thrown[0].getStatus().getCode()).isEqualTo(code);
    return thrown[0];
  }

  private static void print(String what, String way, SwitchRoleResponse done) {
    Map<String, Double> phases =
        done.getPhasesList().stream()
            .collect(Collectors.toMap(RolePhase::getName, RolePhase::getMs));
    System.err.printf(
        Locale.ROOT,
        "%-14s %-8s hand_over %6.1f  load %7.1f  drain %6.1f  unload %6.1f  admit %6.1f ms%n",
        what,
        way,
        phases.get("hand_over"),
        phases.get("load"),
        phases.get("drain"),
        phases.get("unload"),
        phases.get("admit"));
  }
}
