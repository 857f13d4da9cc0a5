package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.encode.EncodeStage;
import io.epidote.encode.TileSource;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.node.NodeConfig;
import io.epidote.node.NodeRuntime;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.engine.QueueOrder;
import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.MediaItem;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** However many pictures a request has: few of them are decoded and not encoded at a time. */
class PictureMemoryTest {
  private static final int PICTURES = 40;
  private static final int TILES = 17;

  /** Counts the tiles whose pixels somebody has. */
  private static final class Counting implements TileSource {
    private final ToyEncoder encoder = new ToyEncoder();
    final AtomicInteger now = new AtomicInteger();
    final AtomicInteger most = new AtomicInteger();

    @Override
    public List<FloatBuffer> tiles(MediaItem item) {
      most.accumulateAndGet(now.addAndGet(item.getTiles()), Math::max);
      return encoder.tiles(item);
    }

    @Override
    public void recycle(FloatBuffer pixels) {
      now.decrementAndGet();
    }
  }

  @Test
  void pixelsDoNotPileUp() {
    ToyEncoder encoder = new ToyEncoder();
    Counting source = new Counting();
    NodeRuntime node =
        new NodeRuntime(
            NodeConfig.of("e", "toy", "0", "test").limits(TestNode.LIMITS).build(),
            new SimpleMeterRegistry());
    ChannelPool channels = new ChannelPool();
    try {
      BlockPool media = new BlockPool("media", encoder.tileBytes(), PICTURES * TILES);
      node.start(
          List.of(
              new EncodeStage(
                  node.context(),
                  encoder,
                  source,
                  new BlockQueue(media),
                  Optional.empty(),
                  new MediaKeys("toy"),
                  1 << 20,
                  QueueOrder.FCFS)),
          List.of(encoder));
      ToyRequest request = new ToyRequest(5, 2, picturesOf(), 2);
      Iterator<EncodeResponse> answers =
          EncodeServiceGrpc.newBlockingStub(channels.channel(node.address(), ChannelKind.CONTROL))
              .encode(EncodeRequest.newBuilder().addAllItems(request.mediaItems()).build());
      int announced = 0;
      while (announced < PICTURES * TILES) {
        announced += answers.next().hasReady() ? 1 : 0;
      }
      assertThat(source.now).hasValue(0);
      assertThat(source.most.get()).isLessThanOrEqualTo(2 * TILES);
    } finally {
      channels.close();
      node.close();
    }
  }

  private static List<Integer> picturesOf() {
    List<Integer> pictures = new ArrayList<>();
    for (int i = 0; i < PICTURES; i++) {
      pictures.add(TILES);
    }
    return pictures;
  }
}
