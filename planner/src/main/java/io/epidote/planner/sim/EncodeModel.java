package io.epidote.planner.sim;

import io.epidote.encode.EncodeCosts;
import io.epidote.encode.PictureRoom;
import io.epidote.engine.cost.StepWork;
import io.epidote.node.engine.Flow;
import io.epidote.node.engine.Line;
import io.epidote.node.engine.TenantWeights;
import io.epidote.node.engine.Turns;
import io.epidote.node.engine.Waiting;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.v1.EncodeLoad;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.router.cluster.EncodeShard;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.OptionalLong;
import java.util.Set;

/** The encode stage: blocks for a request's tiles, files to tiles, tiles to media tokens. */
final class EncodeModel implements StageModel {
  private final Events events;
  private final NodeModel node;
  private final ClusterShape shape;
  private final Blocks media;
  private final Turns turns;
  private final PictureRoom room;
  private final EncodeCosts costs;
  private final Set<Call> calls = new LinkedHashSet<>();
  private final List<Picture> waiting = new ArrayList<>();
  private final List<Tile> ready = new ArrayList<>();
  private List<Tile> batch = List.of();
  private long batchNanos;
  private int reserving;
  private int decoding;
  private int tilesDecoding;

  /** Who is told of a request's tiles; all in the router. */
  interface Told {
    /** All its tiles have room here. */
    void reserved();

    void ready(EncodeShard shard, NodeModel by, int picture, int tile);
  }

  private record Tile(Call call, int picture, int tile) {}

  private record Picture(Call call, MediaItem item) {}

  EncodeModel(Events events, NodeModel node, ClusterShape shape, int tiles) {
    this.events = events;
    this.node = node;
    this.shape = shape;
    this.media = new Blocks(Math.max(1, tiles), events::now);
    this.turns = new Turns(shape.scheduling().encode(), TenantWeights.EQUAL);
    this.room = new PictureRoom(shape.device().maxTiles());
    this.costs = new EncodeCosts(shape.device().maxTiles());
  }

  /** A request for tiles. */
  private final class Call implements Waiting {
    private final EncodeShard shard;
    private final Told told;
    private final int tiles;
    private final long since = events.now();
    private final OptionalLong deadline;
    private final Line.Place place;
    private boolean reserved;
    private int announced;
    private int turn;

    Call(EncodeShard shard, OptionalLong deadline, Told told) {
      this.shard = shard;
      this.told = told;
      this.deadline = deadline;
      this.tiles = shard.items().stream().mapToInt(MediaItem::getWantedCount).sum();
      this.place = media.line().enter(tiles, turns, this);
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
      return Flow.NONE;
    }

    @Override
    public double remainingWork() {
      return tiles - announced;
    }

    @Override
    public double remainingMs() {
      return (tiles - announced) * costs.tileMs();
    }
  }

  /** A request came; a command. */
  void ask(EncodeShard shard, OptionalLong deadline, Told told) {
    calls.add(new Call(shard, deadline, told));
    reserving++;
  }

  @Override
  public long begin() {
    boolean reserved = reserve();
    sortCalls();
    advance();
    int size = Math.min(costs.batch(ready.size()), ready.size());
    if (size == 0) {
      return reserved ? ARRANGED : IDLE;
    }
    if (calls.size() > 1) {
      ready.sort(Comparator.comparingInt(tile -> tile.call().turn));
    }
    List<Tile> first = ready.subList(0, size);
    batch = List.copyOf(first);
    first.clear();
    batchNanos =
        Math.max(1, Math.round(shape.device().encode().ms(new StepWork.Encode(size)) * 1e6));
    return batchNanos;
  }

  private boolean reserve() {
    boolean any = false;
    if (reserving == 0) {
      return false;
    }
    for (Call call : calls) {
      if (!call.reserved && call.place.isNext() && media.tryTake(call.tiles)) {
        call.place.leave();
        call.reserved = true;
        reserving--;
        call.told.reserved();
        call.shard.items().forEach(item -> waiting.add(new Picture(call, item)));
        any = true;
      }
    }
    return any;
  }

  private void sortCalls() {
    if (calls.size() > 1) {
      int place = 0;
      for (Call call : turns.sort(calls, events.now())) {
        call.turn = place++;
      }
    }
  }

  /** Lets files become tiles, as many as there is room for. */
  private void advance() {
    while (!waiting.isEmpty()) {
      Picture first = waiting.getFirst();
      for (Picture picture : waiting) {
        first = picture.call().turn < first.call().turn ? picture : first;
      }
      int tiles = first.item().getTiles();
      if (!room.mayBegin(decoding, tilesDecoding, ready.size(), tiles)) {
        return;
      }
      waiting.remove(first);
      decoding++;
      tilesDecoding += tiles;
      Picture begun = first;
      long nanos = Math.round(shape.device().pictureMs().orElse(0) * 1e6);
      events.after(nanos, () -> node.executeUrgent(() -> decoded(begun, nanos)));
    }
  }

  private void decoded(Picture picture, long nanos) {
    decoding--;
    tilesDecoding -= picture.item().getTiles();
    costs.picture(nanos);
    for (int tile : picture.item().getWantedList()) {
      ready.add(new Tile(picture.call(), picture.item().getIndex(), tile));
    }
  }

  @Override
  public void finish() {
    costs.batch(batch.size(), batchNanos);
    for (Tile tile : batch) {
      Call call = tile.call();
      call.announced++;
      if (call.announced == call.tiles) {
        calls.remove(call);
      }
      call.told.ready(call.shard, node, tile.picture(), tile.tile());
    }
  }

  /** A tile's media tokens were pulled, or computed here. */
  void released() {
    media.give(1);
    if (!media.line().isEmpty()) {
      node.execute(() -> {});
    }
  }

  int mediaUsed() {
    return media.used();
  }

  @Override
  public boolean isIdle() {
    return calls.isEmpty();
  }

  @Override
  public int queued() {
    return reserving;
  }

  @Override
  public void describe(NodeStatus.Builder status) {
    status.setEncode(
        EncodeLoad.newBuilder()
            .setTileMs(costs.tileMs())
            .setPictureMs(costs.pictureMs())
            .setBatch(costs.target())
            .setWaitingTiles(calls.stream().mapToInt(call -> call.tiles - call.announced).sum()));
  }
}
