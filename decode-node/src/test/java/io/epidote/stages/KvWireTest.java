package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.decode.KvWire;
import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.kernel.AttentionShape;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.PullResponse;
import io.epidote.proto.stage.v1.WireForm;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StageTiming;
import io.epidote.stages.RouterDriver.Answer;
import io.epidote.stages.RouterDriver.Run;
import io.grpc.stub.StreamObserver;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Set;
import java.util.function.BiConsumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Decode nodes that have KV blocks sent as bytes and scales. */
@Timeout(120)
final class KvWireTest {
  private static final int TOKENS = AttentionShape.BLOCK_TOKENS;
  private static final int WIDTH = 4;
  private static final int HEAD_FLOATS = 2 * TOKENS * WIDTH;

  /** Of a head: 16 scales of keys, 16 of values, and a byte for each float. */
  private static final int HEAD_WIRE_BYTES = 2 * TOKENS * Float.BYTES + HEAD_FLOATS;

  /** Whole blocks: what is left of the last block's earlier use would have a part in the scales. */
  private static final ToyRequest REQUEST = new ToyRequest(1, 64, List.of(), 20);

  private static final TestNode.Options INT8 = TestNode.Options.defaults().withKvWire(KvWire.INT8);

  /** What becomes of a block on its way, one float at a time. */
  private static void quantise(ByteBuffer block) {
    for (int head = 0; head < ToyDecoder.SHAPE.layers(); head++) {
      int keys = head * HEAD_FLOATS;
      int values = keys + TOKENS * WIDTH;
      for (int token = 0; token < TOKENS; token++) {
        row(block, keys + token, TOKENS);
        row(block, values + token * WIDTH, 1);
      }
    }
  }

  private static void row(ByteBuffer block, int first, int stride) {
    float largest = 0;
    for (int i = 0; i < WIDTH; i++) {
      largest = Math.max(largest, Math.abs(block.getFloat(4 * (first + i * stride))));
    }
    float scale = largest / 127;
    for (int i = 0; i < WIDTH; i++) {
      int at = 4 * (first + i * stride);
      block.putFloat(at, (float) Math.rint(block.getFloat(at) * (1 / scale)) * scale);
    }
  }

  private static List<Integer> lossy(ToyRequest request) {
    return request.expected(Set.of(), KvWireTest::quantise);
  }

  private static StageTiming ask(Cluster cluster, ToyRequest request) {
    Answer answer = Cluster.await(cluster.driver.start(request));
    assertThat(answer.tokens()).isEqualTo(lossy(request));
    return answer.timing(Stage.STAGE_DECODE);
  }

  @Test
  void answersAreTheQuantisedPromptsAndSaySo() {
    // Or nothing here would tell the one from the other.
    assertThat(lossy(REQUEST)).isNotEqualTo(REQUEST.expected(Set.of()));
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), INT8)) {
      StageTiming first = ask(cluster, REQUEST);
      assertThat(first.getKvWire()).isEqualTo("int8");
      assertThat(first.getBytesMoved()).isEqualTo(4L * 2 * HEAD_WIRE_BYTES);
      StageTiming second = ask(cluster, REQUEST);
      assertThat(second.getCachedUnits()).isEqualTo(64);
      assertThat(second.getKvWire()).isEqualTo("int8");
      assertThat(cluster.decode.status().getDecode().getKvWire()).isEqualTo("int8");
      cluster.assertEmpty();
    }
  }

  @Test
  void exactBlocksSayThatTheyAre() {
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), TestNode.Options.defaults())) {
      Answer answer = Cluster.await(cluster.driver.start(REQUEST));
      assertThat(answer.tokens()).isEqualTo(REQUEST.expected(Set.of()));
      assertThat(answer.timing(Stage.STAGE_DECODE).getKvWire()).isEqualTo("exact");
    }
  }

  /** A node that prefills, too, has lossy blocks in the pool in which it looks for prompts. */
  @Test
  void lossyBlocksAreNeverTakenForExactOnes() {
    try (Cluster cluster = new Cluster("E-P-PD", Set.of(), INT8);
        RouterDriver alone = new RouterDriver(cluster.encode, cluster.decode, cluster.decode)) {
      ask(cluster, REQUEST);
      assertThat(cluster.decode.status().getKvBlocksCached()).isPositive();
      Answer exact = Cluster.await(alone.start(REQUEST));
      assertThat(exact.timing(Stage.STAGE_PREFILL).getCachedUnits()).isZero();
      assertThat(exact.tokens()).isEqualTo(REQUEST.expected(Set.of()));
      assertThat(exact.timing(Stage.STAGE_DECODE).getKvWire()).isEmpty();
      // Nor exact ones for those that are asked for in this form.
      assertThat(ask(cluster, REQUEST).getCachedUnits()).isEqualTo(64);
      cluster.assertEmpty();
    }
  }

  private static PullResponse chunk(long offset, int bytes) {
    return LyingNode.chunk(offset, new byte[bytes]).toBuilder()
        .setForm(WireForm.WIRE_FORM_INT8_KV)
        .build();
  }

  @ParameterizedTest
  @ValueSource(strings = {"flipped bit", "too long", "too short", "wrong offset", "exact"})
  void aLyingProducerIsFoundOut(String lie) {
    BiConsumer<Handle, StreamObserver<PullResponse>> behaviour =
        (handle, peer) -> {
          int all = (int) (handle.getBytes() / (4 * HEAD_FLOATS) * HEAD_WIRE_BYTES);
          switch (lie) {
            case "flipped bit" ->
                peer.onNext(
                    chunk(0, all).toBuilder().setCrc32C(chunk(0, all).getCrc32C() ^ 1).build());
            case "too long" -> {
              peer.onNext(chunk(0, all));
              peer.onNext(chunk(all, 16));
            }
            case "too short" -> peer.onNext(chunk(0, HEAD_WIRE_BYTES));
            case "wrong offset" -> peer.onNext(chunk(16, HEAD_WIRE_BYTES));
            // As one does that does not know of int8.
            default -> peer.onNext(LyingNode.chunk(0, new byte[(int) handle.getBytes()]));
          }
          peer.onCompleted();
        };
    try (Cluster cluster = new Cluster("E-P-D", Set.of(), INT8);
        LyingNode liar = new LyingNode(behaviour)) {
      Run run =
          cluster.driver.start(
              REQUEST,
              (moment, current) -> {},
              kv -> kv.toBuilder().setHandle(liar.inPlaceOf(kv.getHandle())).build());
      assertThat(Cluster.error(run))
          .isInstanceOf(EpidoteException.Unavailable.class)
          .hasMessageContaining("liar")
          .hasMessageContaining(
              switch (lie) {
                case "flipped bit" -> "checksum";
                case "too long" -> "0 fit";
                case "too short" -> "ended early";
                case "wrong offset" -> "offset 16";
                default -> "does the producer know --kv-wire int8?";
              });
      cluster.assertEmpty();
      ask(cluster, REQUEST);
    }
  }
}
