package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.node.grpc.ChannelKind;
import io.epidote.node.grpc.ChannelPool;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.MediaReady;
import io.epidote.proto.stage.v1.PrefillRequest;
import io.epidote.proto.stage.v1.PrefillResponse;
import io.epidote.proto.stage.v1.PrefillServiceGrpc;
import io.epidote.proto.stage.v1.TileReady;
import io.grpc.Context;
import io.grpc.stub.StreamObserver;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;

/**
 * The tiles of a request come from one or two encode nodes, each in its own time, in any order, and
 * some of them twice: the prompt is the same.
 */
class TileMergeTest {
  // Set before the properties run.
  @SuppressWarnings("NullAway.Init")
  private static TestNode[] encoders;

  @SuppressWarnings("NullAway.Init")
  private static TestNode prefill;

  private static final ChannelPool CHANNELS = new ChannelPool();

  @BeforeContainer
  static void start() {
    TestNode.Options options = TestNode.Options.defaults();
    encoders =
        new TestNode[] {new TestNode("E", Set.of(), options), new TestNode("E", Set.of(), options)};
    // Without its own cache, so that every prompt is computed from its tiles.
    prefill = new TestNode("P", Set.of(), options.withoutPrefixes());
  }

  @AfterContainer
  static void stop() {
    CHANNELS.close();
    prefill.close();
    for (TestNode node : encoders) {
      node.close();
    }
  }

  @Property(tries = 60)
  void thePromptIsTheSameHoweverItsTilesCome(
      @ForAll long seed, @ForAll @IntRange(min = 1, max = 8) int pictures) throws Exception {
    Random random = new Random(seed);
    List<Integer> tiles = new ArrayList<>();
    for (int i = 0; i < pictures; i++) {
      tiles.add(1 + random.nextInt(4));
    }
    ToyRequest request = new ToyRequest(seed, 2 + random.nextInt(40), tiles, 2);
    Context.CancellableContext context = Context.ROOT.withCancellation();
    try {
      CompletableFuture<Integer> token = new CompletableFuture<>();
      Context previous = context.attach();
      try {
        run(request, random, token);
      } finally {
        context.detach(previous);
      }
      assertThat(token.get(60, TimeUnit.SECONDS)).isEqualTo(request.expected(Set.of()).getFirst());
    } finally {
      context.cancel(null);
    }
    prefill.assertEmpty();
    for (TestNode node : encoders) {
      node.assertEmpty();
    }
  }

  private void run(ToyRequest request, Random random, CompletableFuture<Integer> token)
      throws InterruptedException {
    StreamObserver<PrefillRequest> toPrefill =
        PrefillServiceGrpc.newStub(CHANNELS.channel(prefill.runtime.address(), ChannelKind.CONTROL))
            .prefill(
                new Answers<PrefillResponse>(token) {
                  @Override
                  public void onNext(PrefillResponse response) {
                    if (response.hasFirstToken()) {
                      token.complete(response.getFirstToken().getToken().getTokenId());
                    }
                  }
                });
    toPrefill.onNext(PrefillRequest.newBuilder().setStart(request.prefillStart()).build());
    BlockingQueue<TileReady> announced = new LinkedBlockingQueue<>();
    int expected = encode(request, random, announced, token);
    List<MediaReady> late = new ArrayList<>();
    List<Handle> told = new ArrayList<>();
    for (int i = 0; i < expected; i++) {
      TileReady tile = announced.poll(60, TimeUnit.SECONDS);
      assertThat(tile).as("tile %d of %d", i, expected).isNotNull();
      MediaReady ready =
          MediaReady.newBuilder()
              .setSpan(request.span(tile.getItem(), tile.getTile()))
              .setHandle(tile.getHandle())
              .build();
      told.add(tile.getHandle());
      if (random.nextBoolean()) {
        late.add(ready);
      } else {
        tell(toPrefill, ready, random);
      }
    }
    Collections.shuffle(late, random);
    late.forEach(ready -> tell(toPrefill, ready, random));
    assertThat(told).doesNotHaveDuplicates();
  }

  private static void tell(
      StreamObserver<PrefillRequest> toPrefill, MediaReady ready, Random random) {
    PrefillRequest message = PrefillRequest.newBuilder().setMedia(ready).build();
    for (int times = 1 + random.nextInt(2); times > 0; times--) {
      toPrefill.onNext(message);
    }
  }

  /** Some tiles are asked of both nodes; returns how many will be announced. */
  private int encode(
      ToyRequest request,
      Random random,
      BlockingQueue<TileReady> announced,
      CompletableFuture<Integer> token) {
    List<List<MediaItem>> shards = List.of(new ArrayList<>(), new ArrayList<>());
    int count = 0;
    for (MediaItem item : request.mediaItems()) {
      List<List<Integer>> wanted = List.of(new ArrayList<>(), new ArrayList<>());
      for (int tile = 0; tile < item.getTiles(); tile++) {
        int who = random.nextInt(5);
        for (int node = 0; node < 2; node++) {
          if (who == 4 || who % 2 == node) {
            wanted.get(node).add(tile);
            count++;
          }
        }
      }
      for (int node = 0; node < 2; node++) {
        if (!wanted.get(node).isEmpty()) {
          shards.get(node).add(item.toBuilder().addAllWanted(wanted.get(node)).build());
        }
      }
    }
    for (int node = 0; node < 2; node++) {
      if (!shards.get(node).isEmpty()) {
        String address = encoders[node].runtime.address();
        EncodeServiceGrpc.newStub(CHANNELS.channel(address, ChannelKind.CONTROL))
            .encode(
                EncodeRequest.newBuilder()
                    .setRequestId(request.id())
                    .addAllItems(shards.get(node))
                    .build(),
                new Answers<EncodeResponse>(token) {
                  @Override
                  public void onNext(EncodeResponse response) {
                    if (response.hasReady()) {
                      announced.add(response.getReady());
                    }
                  }
                });
      }
    }
    return count;
  }

  /** An error before the first token is the answer. */
  private abstract static class Answers<T> implements StreamObserver<T> {
    private final CompletableFuture<Integer> token;

    Answers(CompletableFuture<Integer> token) {
      this.token = token;
    }

    @Override
    public void onError(Throwable error) {
      token.completeExceptionally(error);
    }

    @Override
    public void onCompleted() {}
  }
}
