package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.v1.GenerateRequest;
import io.epidote.proto.v1.SamplingParams;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.scenes.SceneSet;
import io.epidote.scenes.Task;
import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Greedy answers about one to eight pictures are those of one aggregated node, wherever tiles are
 * encoded and whether they were before.
 */
class MediaEqualityTest {
  private static final int MOST_PICTURES = 8;

  private static List<List<Integer>> expected = List.of();

  @BeforeAll
  static void askOneNode() {
    try (Cluster cluster = start("EPD", false);
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      expected =
          requests().stream()
              .map(request -> client.generate(request, text -> {}).tokenIds())
              .toList();
    }
    assertThat(expected)
        .hasSize(MOST_PICTURES)
        .allSatisfy(tokens -> assertThat(tokens).isNotEmpty());
  }

  private static Cluster start(String nodes, boolean cache) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.noMediaCache = !cache;
    // Tiles are what is compared: every prompt is computed from them.
    options.node.noPrefixCache = true;
    return LocalCluster.start(options, NodeSpec.parseList(nodes), new Progress());
  }

  /** A question about n pictures for each n, some of which are in several questions. */
  private static List<GenerateRequest> requests() {
    List<BufferedImage> pictures = new ArrayList<>();
    List<Task> tasks = SceneSet.heldOut(23).limit(40).toList();
    tasks.forEach(task -> pictures.addAll(task.pictures()));
    List<GenerateRequest> requests = new ArrayList<>();
    for (int count = 1; count <= MOST_PICTURES; count++) {
      requests.add(
          InferenceClient.question(
              "",
              pictures.subList(count, 2 * count).stream().map(EvalCommand::png).toList(),
              tasks.get(count).question(),
              SamplingParams.newBuilder().setTemperature(0).setMaxTokens(24).build()));
    }
    return requests;
  }

  @ParameterizedTest
  @CsvSource({"EPD,true", "'E,P,D',true", "'E,P,D',false", "'E,E,P,D',true", "'E,E,P,D',false"})
  void tokensAreThoseOfOneNode(String nodes, boolean cache) {
    try (Cluster cluster = start(nodes, cache);
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      for (int again = 0; again < 2; again++) {
        List<List<Integer>> tokens = new ArrayList<>();
        int cached = 0;
        int shards = 0;
        for (GenerateRequest request : requests()) {
          InferenceClient.Answer answer = client.generate(request, text -> {});
          tokens.add(answer.tokenIds());
          for (StageTiming timing : answer.finished().getTimeline().getStagesList()) {
            if (timing.getStage() == Stage.STAGE_ENCODE) {
              cached += timing.getCachedUnits();
              shards++;
              assertThat(cache && again == 1 && timing.getUnits() > 0).isFalse();
            }
          }
        }
        assertThat(tokens).isEqualTo(expected);
        assertThat(cached > 0).isEqualTo(cache);
        assertThat(shards > MOST_PICTURES).isEqualTo(nodes.startsWith("E,E"));
      }
      ClusterAssertions.assertNothingInUse(cluster, NodeSpec.parseList(nodes).size());
    }
  }

  /** Once the first node is gone, its pictures are encoded by the other. */
  @Test
  void whatANodeThatLeftHadIsEncodedAgain() {
    // See RequestPathTest for what becomes of requests that are under way.
    try (LocalCluster cluster = (LocalCluster) start("E,E,P,D", true);
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      GenerateRequest request = requests().getLast();
      assertThat(client.generate(request, text -> {}).tokenIds()).isEqualTo(expected.getLast());
      cluster.stopNode(0);
      assertThat(client.generate(request, text -> {}).tokenIds()).isEqualTo(expected.getLast());
      ClusterAssertions.assertNothingInUse(cluster, 3);
    }
  }
}
