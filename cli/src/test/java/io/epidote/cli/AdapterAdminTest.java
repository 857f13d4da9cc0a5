package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.epidote.engine.checkpoint.AdapterFixture;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.proto.v1.AdapterStatus;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Adapters of a cluster that come, change and go, whatever happens meanwhile. */
@Timeout(120)
class AdapterAdminTest extends AdapterTestModel {
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
          .untilAsserted(() ->
              assertThat(admin.listAdapters().getNodesList())
                  .hasSize(2)
                  .allSatisfy(node ->
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
}
