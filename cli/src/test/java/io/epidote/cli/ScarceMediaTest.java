package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.image.ImageLimits;
import io.epidote.engine.image.ImageProcessor;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Requests whose pictures are divided over nodes that have room for two requests' parts each. */
class ScarceMediaTest {
  private static final int EDGE = 300;
  private static final int REQUESTS = 12;

  /** Far less than a request waits for blocks before it gives up. */
  private static final long BOUND_SECONDS = 60;

  @Test
  void noTwoRequestsWaitForEachOther() throws Exception {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulate = CostProfile.parse("tile_ms:5");
    // All tiles are encoded before prefill takes the first: encode nodes hold them until then.
    options.router.noOverlap = true;
    options.node.mediaCache = new Bytes(requestBytes());
    FreshPictures pictures = new FreshPictures();
    try (Cluster cluster =
            LocalCluster.start(options, NodeSpec.parseList("E,E,P,D"), new Progress());
        InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      List<CompletableFuture<InferenceClient.Answer>> answers =
          IntStream.range(0, REQUESTS)
              .mapToObj(i -> pictures.request(2, EDGE, 2))
              .map(question ->
                  CompletableFuture.supplyAsync(
                      () -> client.generate(question, text -> {}),
                      work -> Thread.ofVirtual().start(work)))
              .toList();
      CompletableFuture.allOf(answers.toArray(CompletableFuture[]::new))
          .get(BOUND_SECONDS, TimeUnit.SECONDS);
      assertThat(answers).allSatisfy(answer -> assertThat(answer.join().tokenIds()).hasSize(2));
    }
  }

  /** Of the media tokens of one request, which is twice what it needs on each of two nodes. */
  private static long requestBytes() {
    try (Checkpoint checkpoint = Checkpoint.open(Home.model("scenes"), Home.cache())) {
      int tiles =
          ImageProcessor.open(checkpoint.folder(), checkpoint.config(), ImageLimits.defaults())
              .plan(EDGE, EDGE)
              .tiles();
      return 2L
          * tiles
          * checkpoint.config().tileTokens()
          * checkpoint.config().text().hiddenSize()
          * Float.BYTES;
    }
  }
}
