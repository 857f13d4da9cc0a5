package io.epidote.router.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.proto.stage.v1.NodeHello;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

/** What the router guesses of a node's caches is gone with the node's registration. */
class RestartedNodeTest {
  private static final PromptPrefix PROMPT =
      new PromptPrefix(LongStream.range(0, 30).boxed().toList());

  private final ManagedChannel channel =
      NettyChannelBuilder.forAddress("127.0.0.1", 1).usePlaintext().build();
  private final Cluster cluster = new Cluster(PlacementRules.FREE);

  private Member join() {
    Member member =
        new Member(
            NodeHello.newBuilder()
                .setStatus(
                    NodeStatus.newBuilder()
                        .setNodeId("pd")
                        .setAddress("127.0.0.1:1")
                        .setKvBlocksTotal(100)
                        .addStages(Stage.STAGE_PREFILL)
                        .addStages(Stage.STAGE_DECODE))
                .build(),
            channel);
    cluster.add(member);
    return member;
  }

  private double predictedMs() {
    Placement placement = cluster.place(List.of(), 480, PROMPT, "");
    placement.release();
    return placement.predictedFirstTokenMs();
  }

  @Test
  void nothingIsGuessedOfANodeThatCameBack() {
    Member before = join();
    double unknown = predictedMs();
    assertThat(predictedMs()).isLessThan(unknown / 2);
    cluster.remove(before);
    before.leave();
    Member after = join();
    assertThat(after.prefixes().match(PROMPT)).isZero();
    assertThat(predictedMs()).isEqualTo(unknown);
    channel.shutdownNow();
  }
}
