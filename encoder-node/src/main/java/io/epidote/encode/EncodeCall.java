package io.epidote.encode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.memory.BlockKey;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.engine.FairShare;
import io.epidote.node.engine.Flow;
import io.epidote.node.engine.Waiting;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.MediaItem;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/** One encode request: its phase and what it holds. Belongs to the engine thread. */
final class EncodeCall implements Waiting {
  /**
   * A tile that the request wants.
   *
   * @param itemPlace of its item in the request
   * @param itemIndex of its item in the whole request that the router serves
   * @param tile place among the item's tiles
   */
  record Tile(int itemPlace, int itemIndex, int tile, BlockKey key, long tag) {}

  final StageAccount account;
  final List<Tile> tiles;
  final long bytes;

  /** With the files; dropped when they were handed on. */
  List<MediaItem> items;

  /** Tiles whose tokens were announced; their blocks belong to their leases. */
  final BitSet announced = new BitSet();

  final List<Handle> handles = new ArrayList<>();
  int openLeases;

  /** By place among {@link #tiles}, with a reference each; empty until they are reserved. */
  int[] blocks = {};

  /** What makes the tokens of each tile; null for those that were there. */
  @Nullable TileWork[] works = {};

  BlockQueue.@Nullable Ticket ticket;

  /** There from when it is admitted until all tiles are announced. */
  final FairShare.Presence presence;

  private final Flow flow;
  private @Nullable ReplyStream<EncodeResponse> reply;
  private final EncodeCosts costs;
  private final long since = System.nanoTime();
  private final OptionalLong deadline;
  private EncodePhase phase = EncodePhase.RESERVING;

  /**
   * @param share of the stage
   */
  EncodeCall(
      EncodeRequest request,
      MediaKeys keys,
      StageAccount account,
      EncodeCosts costs,
      FairShare share) {
    this.account = account;
    this.costs = costs;
    this.flow =
        new Flow(
            Flow.tenant("tenant", request.getTenant()),
            request.getAdapter(),
            request.getPriority());
    this.presence = share.of(flow);
    this.deadline = Waiting.deadline(since, request.hasTtftLeftMs(), request.getTtftLeftMs());
    List<Tile> wanted = new ArrayList<>();
    long size = 0;
    this.items = request.getItemsList();
    for (int i = 0; i < items.size(); i++) {
      int itemPlace = i;
      MediaItem item = items.get(i);
      byte[] digest = item.getSha256().toByteArray();
      IntStream places =
          item.getWantedCount() == 0
              ? IntStream.range(0, item.getTiles())
              : item.getWantedList().stream().mapToInt(Integer::intValue);
      places.forEach(tile ->
          wanted.add(
              new Tile(
                  itemPlace,
                  item.getIndex(),
                  tile,
                  keys.key(digest, tile),
                  MediaKeys.tag(digest, tile))));
      size += item.getData().size();
    }
    this.tiles = List.copyOf(wanted);
    this.bytes = size;
  }

  void open(ReplyStream<EncodeResponse> replyStream) {
    reply = replyStream;
  }

  ReplyStream<EncodeResponse> reply() {
    return requireNonNull(reply, "the call was not opened");
  }

  @Override
  public long since() {
    return since;
  }

  @Override
  public OptionalLong deadline() {
    return deadline;
  }

  @Override
  public Flow flow() {
    return flow;
  }

  @Override
  public double remainingWork() {
    return tiles.size() - announced.cardinality();
  }

  @Override
  public double remainingMs() {
    return (tiles.size() - announced.cardinality()) * costs.tileMs();
  }

  EncodePhase phase() {
    return phase;
  }

  boolean isOver() {
    return phase == EncodePhase.ENDED;
  }

  void become(EncodePhase next) {
    if (!phase.mayBecome(next)) {
      throw new IllegalStateException(
          "an encode request cannot go from %s to %s".formatted(phase, next));
    }
    phase = next;
  }

  /** Whether none of its tiles has been encoded, nor any of its pictures decoded. */
  boolean isWaiting() {
    return announced.isEmpty()
        && Arrays.stream(works).noneMatch(work -> work != null && work.pixels != null);
  }

  boolean allAnnounced() {
    return announced.cardinality() == tiles.size();
  }
}
