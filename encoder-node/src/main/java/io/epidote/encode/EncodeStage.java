package io.epidote.encode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.MediaCache;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.engine.model.VisionEncoder;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.NodeContext;
import io.epidote.node.Stage;
import io.epidote.node.StageLoad;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.engine.QueueOrder;
import io.epidote.node.engine.Turns;
import io.epidote.node.lease.LeaseEnd;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.MediaCacheContent;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.StageDone;
import io.epidote.proto.stage.v1.TileReady;
import io.epidote.proto.stage.v1.TilesReserved;
import io.epidote.proto.v1.EncodeLoad;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.StageTiming;
import io.grpc.BindableService;
import java.nio.FloatBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.ToIntFunction;
import java.util.stream.LongStream;

/**
 * Encodes tiles of several requests together and leases their media tokens out.
 *
 * <p>A request takes the blocks for all its tiles before its first image is decoded, those that are
 * cached or being made for another request among them. So half encoded requests cannot wait for
 * each other's blocks. A tile that several requests want at a time is encoded once, and for as long
 * as any of them is there.
 */
public final class EncodeStage implements Stage {
  /** Tiles of the cache that a load report names. */
  private static final int MAX_TAGS = 8192;

  private static final EncodeResponse RESERVED =
      EncodeResponse.newBuilder().setReserved(TilesReserved.getDefaultInstance()).build();

  private final NodeContext node;
  private final VisionEncoder encoder;
  private final BlockQueue media;
  private final TileSource source;
  private final Turns turns;
  private final TileBlocks blocks;
  private final Pictures pictures;
  private final PictureRoom room;
  private final EncodeCosts costs;
  private final EncodeIntake intake;
  private final long fileBytes;
  private final Set<EncodeCall> calls = new LinkedHashSet<>();
  private final ArrayDeque<TileWork> ready = new ArrayDeque<>();

  /** Of the files of requests that have no blocks yet. */
  private long waitingBytes;

  private long evictionsCounted;

  /** What was told last: reports come often, and the cache seldom changes between them. */
  private MediaCacheContent content = MediaCacheContent.getDefaultInstance();

  /**
   * @param encoder used by the engine thread alone; closed by the node
   * @param source makes tiles of files
   * @param media where media tokens go: blocks of {@link VisionEncoder#tileBytes()}. Not the pool
   *     that a prefill stage pulls into: two nodes that encode for each other could wait in a
   *     circle
   * @param cache of that pool; empty: every tile of every request is encoded
   * @param keys of what this encoder makes
   * @param fileBytes bytes of the files of all requests; who comes with more is refused
   * @param order of turns among requests
   */
  public EncodeStage(
      NodeContext node,
      VisionEncoder encoder,
      TileSource source,
      BlockQueue media,
      Optional<MediaCache> cache,
      MediaKeys keys,
      long fileBytes,
      QueueOrder order) {
    this.node = requireNonNull(node, "node is null");
    this.encoder = requireNonNull(encoder, "encoder is null");
    this.media = requireNonNull(media, "media is null");
    this.turns = new Turns(order, node.sharing().tenants());
    this.source = requireNonNull(source, "source is null");
    this.blocks = new TileBlocks(media, cache);
    this.pictures = new Pictures(source, node.loop().urgent(), new Decoded());
    this.room = new PictureRoom(encoder.maxBatch());
    this.costs = new EncodeCosts(encoder.maxBatch());
    this.fileBytes = fileBytes;
    this.intake = new EncodeIntake(node, this, requireNonNull(keys, "keys is null"));
    if (media.pool().blockBytes() != encoder.tileBytes()) {
      throw new IllegalArgumentException(
          "media blocks have %d bytes, but a tile's media tokens have %d"
              .formatted(media.pool().blockBytes(), encoder.tileBytes()));
    }
  }

  @Override
  public io.epidote.proto.v1.Stage kind() {
    return io.epidote.proto.v1.Stage.STAGE_ENCODE;
  }

  /** Of the weights that this stage computes with. */
  String precision() {
    return encoder.precision();
  }

  @Override
  public List<BindableService> services() {
    return List.of(intake);
  }

  Turns turns() {
    return turns;
  }

  EncodeCosts costs() {
    return costs;
  }

  /** Refuses a request whose tiles or files do not even fit a node that has no other. */
  void checkFits(long tiles, long bytes) {
    if (bytes > fileBytes) {
      throw new EpidoteException.TooLarge(
          "The request's media files have %,d bytes, but this node holds %,d; send fewer or smaller ones, or give the node more with --media-cache."
              .formatted(bytes, fileBytes));
    }
    if (tiles > media.pool().total()) {
      throw new EpidoteException.TooLarge(
          "The request's media are %d tiles, but this node holds %d; send fewer or smaller images, or give the node more media blocks."
              .formatted(tiles, media.pool().total()));
    }
  }

  void admit(EncodeCall call) {
    String closed = node.gate().closed();
    if (closed != null) {
      call.reply().fail(new EpidoteException.Unavailable(closed));
      return;
    }
    if (calls.size() >= node.limits().requests()) {
      call.reply().fail(full());
      return;
    }
    if (heldBytes() + call.bytes > fileBytes) {
      call.reply().fail(fullOfFiles());
      return;
    }
    calls.add(call);
    waitingBytes += call.bytes;
    call.presence.enter();
    blocks.enter(call, turns);
    call.account.startWaiting();
  }

  /** Of files that are in memory. */
  private long heldBytes() {
    return waitingBytes + pictures.fileBytes();
  }

  @Override
  public boolean runStep() {
    boolean reserved = reserve();
    ToIntFunction<TileWork> turn = tileTurns();
    pictures.advance(ready.size(), room, turn);
    List<TileWork> batch = schedule(turn);
    if (batch.isEmpty()) {
      return reserved;
    }
    long start = System.nanoTime();
    if (run(batch)) {
      postprocess(batch, System.nanoTime() - start);
    }
    return true;
  }

  /** Gives blocks to the requests at the head of the line, and lets their images be decoded. */
  private boolean reserve() {
    boolean any = false;
    for (EncodeCall call : List.copyOf(calls)) {
      if (call.phase() != EncodePhase.RESERVING) {
        continue;
      }
      Optional<List<TileWork>> works = blocks.take(call);
      if (works.isPresent()) {
        call.account.stopWaiting();
        call.become(EncodePhase.ENCODING);
        call.reply().send(RESERVED);
        begin(call, works.get());
        any = true;
      } else if (call.account.waitingNanos() > node.limits().maxWait().toNanos()) {
        fail(call, waitedTooLong());
      }
    }
    countEvictions();
    return any;
  }

  private void begin(EncodeCall call, List<TileWork> works) {
    int hits = call.tiles.size() - works.size();
    call.account.cached(hits);
    node.meters().tiles(hits, works.size());
    Map<Integer, List<TileWork>> byItem = new LinkedHashMap<>();
    works.forEach(
        work -> byItem.computeIfAbsent(work.tile.itemPlace(), _ -> new ArrayList<>()).add(work));
    byItem.forEach(
        (place, wanted) -> pictures.add(new Pictures.Picture(call.items.get(place), wanted)));
    // From here on a file is in memory for as long as it waits to be decoded.
    call.items = List.of();
    waitingBytes -= call.bytes;
    for (int place = 0; place < call.works.length; place++) {
      if (call.works[place] == null) {
        announce(call, place);
      }
    }
  }

  private void countEvictions() {
    blocks
        .cache()
        .ifPresent(cache -> {
          node.meters().tilesEvicted(cache.evictions() - evictionsCounted);
          evictionsCounted = cache.evictions();
        });
  }

  private final class Decoded implements Pictures.Outcome {
    @Override
    public void decoded(Pictures.Picture picture, List<FloatBuffer> tiles, long nanos) {
      MediaItem item = picture.item();
      if (tiles.size() != item.getTiles()) {
        failed(
            picture,
            new EpidoteException.InvalidRequest(
                "Media item %d has %d tiles here, but the request says %d: the router and this node must serve the same checkpoint."
                    .formatted(item.getIndex(), tiles.size(), item.getTiles())));
        return;
      }
      costs.picture(nanos);
      List<FloatBuffer> unused = new ArrayList<>(tiles);
      for (TileWork work : picture.works()) {
        if (work.isWanted()) {
          FloatBuffer pixels = tiles.get(work.tile.tile());
          unused.removeIf(other -> other == pixels);
          work.pixels = pixels;
          work.pictureMs = nanos / 1e6 / picture.works().size();
          ready.add(work);
        }
      }
      unused.forEach(source::recycle);
      waiting(picture.works()).forEach(call -> call.account.computed(nanos, 0));
    }

    @Override
    public void failed(Pictures.Picture picture, EpidoteException error) {
      waiting(picture.works()).forEach(call -> fail(call, error));
    }
  }

  /** The requests that wait for some of these tiles. */
  private static Set<EncodeCall> waiting(List<TileWork> works) {
    Set<EncodeCall> waiting = new LinkedHashSet<>();
    works.forEach(work -> work.waiters.forEach(waiter -> waiting.add(waiter.call())));
    return waiting;
  }

  /** A tile's turn: that of the first request which waits for it. */
  private ToIntFunction<TileWork> tileTurns() {
    if (calls.size() < 2) {
      return _ -> 0;
    }
    Map<EncodeCall, Integer> places = new HashMap<>();
    turns.sort(calls, System.nanoTime()).forEach(call -> places.put(call, places.size()));
    return work ->
        work.waiters.stream()
            .mapToInt(waiter -> places.getOrDefault(waiter.call(), Integer.MAX_VALUE))
            .min()
            .orElse(Integer.MAX_VALUE);
  }

  private List<TileWork> schedule(ToIntFunction<TileWork> turn) {
    int size = Math.min(costs.batch(ready.size()), ready.size());
    List<TileWork> batch =
        ready.stream().sorted(Comparator.comparingInt(turn)).limit(size).toList();
    ready.removeAll(batch);
    return batch;
  }

  private boolean run(List<TileWork> batch) {
    try {
      encoder.encode(
          batch.stream().map(work -> requireNonNull(work.pixels)).toList(),
          batch.stream().map(work -> media.pool().block(work.block)).toList());
      return true;
    } catch (RuntimeException | Error e) {
      EpidoteException told =
          e instanceof EpidoteException known
              ? known
              : new EpidoteException.Internal(
                  "The vision encoder failed on this request's tiles.", e);
      waiting(batch).forEach(call -> fail(call, told));
      if (e instanceof Error error) {
        throw error;
      }
      return false;
    } finally {
      batch.forEach(this::recycle);
    }
  }

  private void recycle(TileWork work) {
    if (work.pixels != null) {
      source.recycle(work.pixels);
      work.pixels = null;
    }
  }

  private void postprocess(List<TileWork> batch, long nanos) {
    node.meters().step(kind(), nanos, batch.size());
    costs.batch(batch.size(), nanos);
    for (EncodeCall call : waiting(batch)) {
      long made = batch.stream().filter(work -> work.waiters.getFirst().call() == call).count();
      call.account.computed(nanos, (int) made);
      call.presence.charge(made);
    }
    for (TileWork work : batch) {
      blocks.encoded(work, nanos / 1e6 / batch.size() + work.pictureMs);
      List.copyOf(work.waiters).forEach(waiter -> announce(waiter.call(), waiter.place()));
    }
  }

  /** The tile's tokens are in its block, of which the request's reference goes to a lease. */
  private void announce(EncodeCall call, int place) {
    int block = call.blocks[place];
    Handle handle =
        node.leases().grant(media.pool(), new int[] {block}, end -> tileFreed(call, block, end));
    call.announced.set(place);
    call.handles.add(handle);
    call.openLeases++;
    EncodeCall.Tile tile = call.tiles.get(place);
    call.reply()
        .send(
            EncodeResponse.newBuilder()
                .setReady(
                    TileReady.newBuilder()
                        .setItem(tile.itemIndex())
                        .setTile(tile.tile())
                        .setHandle(handle))
                .build());
    if (call.allAnnounced()) {
      StageTiming timing = call.account.timing();
      node.meters().requestDone(timing);
      call.reply()
          .send(
              EncodeResponse.newBuilder()
                  .setDone(StageDone.newBuilder().setTiming(timing))
                  .build());
      call.presence.leave();
      call.become(EncodePhase.LEASED);
    }
  }

  private void tileFreed(EncodeCall call, int block, LeaseEnd end) {
    media.pool().release(block);
    call.openLeases--;
    if (call.isOver()) {
      return;
    }
    if (end == LeaseEnd.EXPIRED) {
      fail(
          call,
          new EpidoteException.Unavailable(
              "Media tokens were not pulled within %s; send the request again."
                  .formatted(Limits.words(node.limits().lease()))));
    } else if (call.phase() == EncodePhase.LEASED && call.openLeases == 0) {
      end(call);
      call.reply().complete();
    }
  }

  void cancelled(EncodeCall call) {
    if (calls.contains(call)) {
      node.meters().requestLost(kind(), "cancelled");
      end(call);
    }
  }

  private void fail(EncodeCall call, EpidoteException error) {
    if (calls.contains(call)) {
      node.meters().requestLost(kind(), "failed");
      end(call);
      call.reply().fail(error);
    }
  }

  /**
   * Frees all that the request holds. Blocks under a lease follow when no pull has them pinned;
   * tiles that others wait for are encoded all the same.
   */
  private void end(EncodeCall call) {
    if (call.phase() == EncodePhase.RESERVING) {
      waitingBytes -= call.bytes;
    }
    call.become(EncodePhase.ENDED);
    calls.remove(call);
    call.presence.leave();
    requireNonNull(call.ticket).leave();
    for (int place = 0; place < call.blocks.length; place++) {
      if (!call.announced.get(place)) {
        leave(call, requireNonNull(call.works[place]));
        media.pool().release(call.blocks[place]);
      }
    }
    pictures.drop();
    call.handles.forEach(node.leases()::revoke);
  }

  private void leave(EncodeCall call, TileWork work) {
    work.leave(call);
    if (!work.isWanted()) {
      blocks.forget(work);
      if (ready.remove(work)) {
        recycle(work);
      }
    }
  }

  @Override
  public void end(Scope scope, EpidoteException reason) {
    List.copyOf(calls).stream()
        .filter(call ->
            switch (scope) {
              case WAITING -> call.isWaiting();
              case UNFINISHED -> call.phase() != EncodePhase.LEASED;
              case ALL -> true;
            })
        .forEach(call -> fail(call, reason));
  }

  @Override
  public StageLoad load() {
    int queued = (int) calls.stream().filter(call -> call.phase() == EncodePhase.RESERVING).count();
    return new StageLoad(
        calls.size() - queued,
        queued,
        0,
        0,
        List.of(),
        List.of(media.pool()),
        new StageLoad.Weights(
            "vision", encoder.weightBytes(), encoder.precision(), encoder::memory));
  }

  @Override
  public void describe(NodeStatus.Builder status) {
    status.setEncode(
        EncodeLoad.newBuilder()
            .setTileMs(costs.tileMs())
            .setPictureMs(costs.pictureMs())
            .setBatch(costs.target())
            .setWaitingTiles(
                calls.stream()
                    .mapToInt(call -> call.tiles.size() - call.announced.cardinality())
                    .sum())
            .setCacheHits(blocks.hits())
            .setCacheMisses(blocks.misses())
            .setCacheEvictions(blocks.cache().map(MediaCache::evictions).orElse(0L)));
  }

  @Override
  public Optional<MediaCacheContent> mediaCache() {
    return blocks.cache().map(this::content);
  }

  private MediaCacheContent content(MediaCache cache) {
    if (content.getVersion() != cache.version()) {
      content =
          MediaCacheContent.newBuilder()
              .setVersion(cache.version())
              .addAllTiles(LongStream.of(cache.tags(MAX_TAGS)).boxed().toList())
              .build();
    }
    return content;
  }

  static EpidoteException full() {
    return new EpidoteException.Exhausted(
        "The encode stage has as many requests as it can hold; try again in a second.");
  }

  private EpidoteException fullOfFiles() {
    return new EpidoteException.Exhausted(
        "The encode stage has %,d of at most %,d bytes of media files; try again in a second."
            .formatted(heldBytes(), fileBytes));
  }

  private EpidoteException waitedTooLong() {
    return new EpidoteException.Exhausted(
        "No room for media tokens within %s; try again later or add encode nodes."
            .formatted(Limits.words(node.limits().maxWait())));
  }
}
