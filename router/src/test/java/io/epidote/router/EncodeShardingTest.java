package io.epidote.router;

import static io.epidote.router.TestCluster.generate;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.google.protobuf.ByteString;
import io.epidote.engine.memory.KeyChain;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.proto.stage.v1.MediaCacheContent;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.Cost;
import io.epidote.proto.v1.EncodeLoad;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.PrefillLoad;
import io.epidote.proto.v1.Stage;
import io.grpc.Context;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Which of two encode nodes is asked for which tiles. */
@Timeout(60)
class EncodeShardingTest {
  // Set before each test.
  @SuppressWarnings("NullAway.Init")
  private TestCluster cluster;

  @SuppressWarnings("NullAway.Init")
  private ScriptedNode second;

  @BeforeEach
  void start() throws Exception {
    cluster = TestCluster.start();
    second = ScriptedNode.start("e2", Stage.STAGE_ENCODE).join(cluster.router.grpcPort());
  }

  @AfterEach
  void stop() {
    second.close();
    cluster.close();
  }

  private String ask(int... pictureTiles) {
    StringBuilder text = new StringBuilder();
    cluster
        .inference()
        .generate(generate(pictureTiles).build())
        .forEachRemaining(response -> text.append(response.getChunk().getText()));
    return text.toString();
  }

  private static List<MediaItem> items(ScriptedNode node) {
    return node.encodes.stream().flatMap(request -> request.getItemsList().stream()).toList();
  }

  private static int tiles(ScriptedNode node) {
    return items(node).stream().mapToInt(MediaItem::getWantedCount).sum();
  }

  private static void tell(ScriptedNode node, EncodeLoad.Builder load, long... tags) {
    node.report(
        NodeLoad.newBuilder()
            .setStatus(node.status(0).setEncode(load))
            .setMediaCache(
                MediaCacheContent.newBuilder()
                    .setVersion(1)
                    .addAllTiles(LongStream.of(tags).boxed().toList())));
  }

  private void awaitReported(String node) {
    await()
        .until(() ->
            cluster
                .inference()
                .getLoad(io.epidote.proto.v1.GetLoadRequest.getDefaultInstance())
                .getNodesList()
                .stream()
                .filter(each -> each.getNodeId().equals(node))
                .anyMatch(NodeStatus::hasEncode));
  }

  private static long[] tags(int tiles) {
    byte[] digest =
        KeyChain.digest(ByteString.copyFromUtf8("tiles:" + tiles).asReadOnlyByteBuffer());
    return LongStream.range(0, tiles).map(tile -> MediaKeys.tag(digest, (int) tile)).toArray();
  }

  @Test
  void twoPicturesGoToTwoNodesWithTheirBytes() {
    // A file takes longer to decode than its tiles to encode: nobody is to decode both.
    tell(cluster.encode, EncodeLoad.newBuilder().setTileMs(10).setPictureMs(60));
    tell(second, EncodeLoad.newBuilder().setTileMs(10).setPictureMs(60));
    awaitReported("e1");
    awaitReported("e2");
    assertThat(ask(4, 5)).isEqualTo("hello world");
    assertThat(items(cluster.encode)).hasSize(1);
    assertThat(items(second)).hasSize(1);
    assertThat(tiles(cluster.encode) + tiles(second)).isEqualTo(9);
    List<String> heard = new ArrayList<>(cluster.prefill.heard);
    heard.removeIf(event -> !event.startsWith("prefill media"));
    assertThat(heard).hasSize(9).doesNotHaveDuplicates();
  }

  @Test
  void twoPicturesAreDividedInTheirOrderWhereThatIsEarlier() {
    tell(cluster.encode, EncodeLoad.newBuilder().setTileMs(10).setPictureMs(1));
    tell(second, EncodeLoad.newBuilder().setTileMs(10).setPictureMs(1));
    cluster.prefill.report(
        NodeLoad.newBuilder()
            .setStatus(
                cluster
                    .prefill
                    .status(0)
                    .setPrefill(PrefillLoad.newBuilder().setStep(Cost.newBuilder().setUnitMs(2)))));
    awaitReported("e1");
    awaitReported("e2");
    assertThat(ask(4, 6)).isEqualTo("hello world");
    assertThat(items(cluster.encode)).hasSize(2);
    assertThat(items(second)).hasSize(2);
    assertThat(tiles(cluster.encode) + tiles(second)).isEqualTo(10);
  }

  @Test
  void thePicturesOfAnotherRequestGoWhereTheyWereEncodedBefore() {
    tell(cluster.encode, EncodeLoad.newBuilder().setTileMs(10));
    tell(second, EncodeLoad.newBuilder().setTileMs(10));
    awaitReported("e1");
    awaitReported("e2");
    ask(4, 5);
    List<MediaItem> first = items(cluster.encode);
    ask(4, 5);
    assertThat(items(cluster.encode)).hasSize(2);
    assertThat(items(cluster.encode).getLast().getSha256()).isEqualTo(first.getFirst().getSha256());
  }

  @Test
  void tilesAreAskedOfTheNodeThatSaysItHasThem() {
    tell(second, EncodeLoad.newBuilder().setTileMs(10), tags(6));
    awaitReported("e2");
    ask(6);
    assertThat(tiles(second)).isEqualTo(6);
    assertThat(items(cluster.encode)).isEmpty();
  }

  @Test
  void aNodeWithALongQueueIsAskedForNothing() {
    tell(cluster.encode, EncodeLoad.newBuilder().setTileMs(10).setWaitingTiles(1000));
    awaitReported("e1");
    ask(4, 5);
    assertThat(items(cluster.encode)).isEmpty();
    assertThat(tiles(second)).isEqualTo(9);
  }

  @Test
  void aSlowNodeIsAskedForLess() {
    tell(cluster.encode, EncodeLoad.newBuilder().setTileMs(40));
    tell(second, EncodeLoad.newBuilder().setTileMs(10));
    awaitReported("e1");
    awaitReported("e2");
    ask(10, 10);
    assertThat(tiles(cluster.encode)).isBetween(3, 5);
  }

  /** Or two requests, each with room on one node, would wait for each other's node for ever. */
  @Test
  void aNodeIsAskedWhenTheOneBeforeItHasRoom() {
    cluster.encode.hasRoom = false;
    List<Context.CancellableContext> calls = new ArrayList<>();
    // For the second, the other node comes first in turn.
    for (int request = 1; request <= 2; request++) {
      int asked = request;
      Context.CancellableContext call = Context.current().withCancellation();
      call.run(() -> cluster.inference().generate(generate(4, 5).build()));
      calls.add(call);
      await().until(() -> cluster.encode.encodes.size() == asked);
    }
    assertThat(second.encodes).isEmpty();
    calls.forEach(call -> call.cancel(null));
    await().until(() -> cluster.encode.stillOpen() + cluster.prefill.stillOpen() == 0);
    cluster.encode.hasRoom = true;
    assertThat(ask(4, 5)).isEqualTo("hello world");
    assertThat(second.encodes).hasSize(1);
  }

  @Test
  void theTilesOfANodeThatFailsAreEncodedElsewhere() {
    second.script.put(
        ScriptedNode.Step.TILE,
        new ScriptedNode.Fail(io.grpc.Status.INTERNAL.withDescription("out of ideas")));
    assertThat(ask(4, 5)).isEqualTo("hello world");
    await().until(() -> cluster.encode.stillOpen() + cluster.prefill.stillOpen() == 0);
    second.script.clear();
    assertThat(ask(4, 5)).isEqualTo("hello world");
  }
}
