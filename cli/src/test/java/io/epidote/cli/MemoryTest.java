package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.proto.v1.MemoryUse;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.SamplingParams;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.extension.ExtendWith;

/** Every byte of a node's resident memory is of some kind. */
@EnabledOnOs(OS.LINUX)
@ExtendWith(FourProcesses.class)
class MemoryTest {
  private static Map<String, Long> bytes(NodeStatus node) {
    return node.getMemoryList().stream()
        .collect(Collectors.toMap(MemoryUse::getKind, MemoryUse::getBytes));
  }

  private static Map<String, Long> shares(NodeStatus node) {
    return node.getMemoryList().stream()
        .collect(Collectors.toMap(MemoryUse::getKind, MemoryUse::getProportionalBytes));
  }

  /** Waits for every node's memory to be measured. */
  private static List<NodeStatus> nodes(InferenceClient client) {
    return await()
        .atMost(Duration.ofSeconds(20))
        .until(
            () -> client.load().getNodesList(),
            nodes -> nodes.stream().allMatch(node -> node.getMemoryCount() > 0));
  }

  private static void ask(InferenceClient client) {
    client.generate(
        InferenceClient.question(
            "",
            AskCommand.read(List.of(Home.model("scenes").resolve("examples/large.png"))),
            "describe the picture.",
            SamplingParams.newBuilder().setTemperature(0).build()),
        text -> {});
  }

  @Test
  void theKindsSumToWhatIsResident(Cluster cluster) {
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      ask(client);
      for (NodeStatus node : nodes(client)) {
        Map<String, Long> kinds = bytes(node);
        long sum = kinds.values().stream().mapToLong(Long::longValue).sum();
        assertThat(sum).isEqualTo(node.getResidentBytes());
        assertThat(kinds.keySet())
            .containsExactlyInAnyOrder(
                "weights_mapped",
                "weights_copied",
                "adapters",
                "kv",
                "swap",
                "media",
                "activations",
                "heap",
                "metaspace",
                "code",
                "classes",
                "libraries",
                "network",
                "direct",
                "rest");
        // A JVM without a heap, code or libraries would be a defect of the account.
        assertThat(kinds.get("heap")).isGreaterThan(4 << 20);
        assertThat(kinds.get("code")).isGreaterThan(1 << 20);
        assertThat(kinds.get("libraries")).isGreaterThan(10 << 20);
        assertThat(kinds.get("rest")).isLessThan(node.getResidentBytes() / 2);
      }
      // Those of the question, once memory was measured after it.
      await()
          .atMost(Duration.ofSeconds(20))
          .untilAsserted(() ->
              assertThat(nodes(client))
                  .allSatisfy(node -> {
                    Map<String, Long> kinds = bytes(node);
                    assertThat(kinds.get("activations")).isPositive();
                    // Linear layers read weights where they are mapped: none is a copy.
                    long loaded =
                        node.getWeightsList().stream().mapToLong(group -> group.getBytes()).sum();
                    assertThat(kinds.get("weights_mapped")).isBetween(loaded / 2, loaded * 2);
                    assertThat(kinds.get("weights_copied")).isLessThan(loaded / 10);
                  }));
      ByteArrayOutputStream table = new ByteArrayOutputStream();
      StatusCommand.print(client.load(), new PrintStream(table, true, StandardCharsets.UTF_8));
      assertThat(table.toString(StandardCharsets.UTF_8)).contains("weights_mapped", "rest");
    }
  }

  /** Without prepacking, two processes that serve the same weights have them in memory once. */
  @Test
  void weightsAreHeldOnce() {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.noPrepack = true;
    try (Cluster cluster =
            ProcessCluster.start(options, NodeSpec.parseList("E,P,D"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      ask(client);
      await()
          .atMost(Duration.ofSeconds(20))
          .untilAsserted(() -> {
            List<NodeStatus> decoders =
                nodes(client).stream()
                    .filter(node -> node.getWeights(0).getName().equals("decoder"))
                    .toList();
            assertThat(decoders).hasSize(2);
            long loaded = decoders.getFirst().getWeights(0).getBytes();
            long mapped = 0;
            long shared = 0;
            for (NodeStatus node : decoders) {
              assertThat(bytes(node).get("weights_copied")).isLessThan(loaded / 10);
              // One question has used little of the pool, and a pool takes what was used.
              assertThat(bytes(node).get("kv"))
                  .isPositive()
                  .isLessThan(node.getKvBlocksTotal() * node.getKvBlockBytes() / 4);
              mapped += bytes(node).getOrDefault("weights_mapped", 0L);
              shared += shares(node).getOrDefault("weights_mapped", 0L);
            }
            // Pages that no token has needed yet are in neither.
            assertThat(mapped).isGreaterThan(loaded / 2);
            assertThat(shared).isLessThan(mapped * 7 / 10).isLessThanOrEqualTo(loaded + (64 << 10));
          });
    }
  }
}
