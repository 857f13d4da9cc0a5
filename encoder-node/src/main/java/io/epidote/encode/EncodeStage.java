package io.epidote.encode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.model.VisionEncoder;
import io.epidote.node.NodeConfig.Limits;
import io.epidote.node.NodeContext;
import io.epidote.node.Stage;
import io.epidote.node.StageLoad;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.lease.LeaseEnd;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.MediaItem;
import io.epidote.proto.stage.v1.StageDone;
import io.epidote.proto.stage.v1.TileReady;
import io.epidote.proto.v1.StageTiming;
import io.grpc.BindableService;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.nio.FloatBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * Encodes tiles of several requests together and leases their media tokens out.
 *
 * <p>A request takes the blocks for all its tiles before its first image is decoded. So half
 * encoded requests cannot wait for each other's blocks, and the pixels in memory are bounded by the
 * pool, too.
 */
public final class EncodeStage implements Stage {
  /** Image files that may wait for their turn. */
  private static final long MAX_WAITING_BYTES = 256L << 20;

  private record TileJob(EncodeCall call, int itemPlace, int tile, FloatBuffer pixels) {
    int place() {
      return call.firstTile(itemPlace) + tile;
    }
  }

  private final NodeContext node;
  private final VisionEncoder encoder;
  private final BlockQueue media;
  private final ImageDecoding images;
  private final Set<EncodeCall> calls = new LinkedHashSet<>();
  private final ArrayDeque<TileJob> ready = new ArrayDeque<>();
  private long waitingBytes;

  /**
   * @param encoder used by the engine thread alone; closed by the node
   * @param source makes tiles of files
   * @param media where media tokens go: blocks of {@link VisionEncoder#tileBytes()}. Not the pool
   *     that a prefill stage pulls into: two nodes that encode for each other could wait in a
   *     circle
   */
  public EncodeStage(NodeContext node, VisionEncoder encoder, TileSource source, BlockQueue media) {
    this.node = requireNonNull(node, "node is null");
    this.encoder = requireNonNull(encoder, "encoder is null");
    this.media = requireNonNull(media, "media is null");
    this.images = new ImageDecoding(requireNonNull(source, "source is null"));
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

  @Override
  public List<BindableService> services() {
    return List.of(new Service());
  }

  private final class Service extends EncodeServiceGrpc.EncodeServiceImplBase {
    @Override
    public void encode(EncodeRequest request, StreamObserver<EncodeResponse> observer) {
      EncodeCall call;
      try {
        check(request);
        call =
            new EncodeCall(request, new StageAccount(kind(), node.nodeId(), encoder.precision()));
      } catch (EpidoteException e) {
        observer.onError(GrpcErrors.toStatus(e));
        return;
      } catch (ArithmeticException e) {
        observer.onError(GrpcErrors.toStatus(tooManyTiles("more than " + Integer.MAX_VALUE)));
        return;
      }
      call.open(
          new ReplyStream<>(
              (ServerCallStreamObserver<EncodeResponse>) observer,
              node.loop(),
              node.limits().replies(),
              () -> cancelled(call)));
      if (!node.loop().offer(() -> admit(call))) {
        observer.onError(GrpcErrors.toStatus(full()));
      }
    }
  }

  private static void check(EncodeRequest request) {
    if (request.getItemsCount() == 0) {
      throw new EpidoteException.InvalidRequest(
          "The encode request has no media items; expected at least one.");
    }
    for (MediaItem item : request.getItemsList()) {
      if (item.getTiles() <= 0 || item.getData().isEmpty()) {
        throw new EpidoteException.InvalidRequest(
            "Media item %d has %d tiles and %d bytes; expected at least one of each."
                .formatted(item.getIndex(), item.getTiles(), item.getData().size()));
      }
      checkFrames(item);
    }
  }

  private static void checkFrames(MediaItem item) {
    long bytes = 0;
    for (int frame : item.getFrameBytesList()) {
      if (frame <= 0) {
        throw new EpidoteException.InvalidRequest(
            "Media item %d has a frame of %d bytes; expected at least one."
                .formatted(item.getIndex(), frame));
      }
      bytes += frame;
    }
    if (item.getFrameBytesCount() > 0 && bytes != item.getData().size()) {
      throw new EpidoteException.InvalidRequest(
          "Media item %d has frames of %d bytes together, but %d bytes of data."
              .formatted(item.getIndex(), bytes, item.getData().size()));
    }
  }

  private void admit(EncodeCall call) {
    if (calls.size() >= node.limits().requests() || waitingBytes + call.bytes > MAX_WAITING_BYTES) {
      call.reply().fail(full());
      return;
    }
    if (!media.canEverFit(call.tiles)) {
      call.reply().fail(tooManyTiles(String.valueOf(call.tiles)));
      return;
    }
    calls.add(call);
    waitingBytes += call.bytes;
    call.ticket = media.enter(call.tiles);
    call.account.startWaiting();
  }

  @Override
  public boolean runStep() {
    boolean reserved = reserve();
    List<TileJob> batch = schedule();
    if (batch.isEmpty()) {
      return reserved;
    }
    long start = System.nanoTime();
    if (run(batch)) {
      postprocess(batch, System.nanoTime() - start);
    }
    return true;
  }

  /** Gives blocks to the requests at the head of the line, and starts to decode their images. */
  private boolean reserve() {
    boolean any = false;
    for (EncodeCall call : List.copyOf(calls)) {
      if (call.phase() != EncodePhase.RESERVING) {
        continue;
      }
      var blocks = requireNonNull(call.ticket).take();
      if (blocks.isPresent()) {
        call.blocks = blocks.get();
        call.account.stopWaiting();
        call.become(EncodePhase.ENCODING);
        decodeImages(call);
        any = true;
      } else if (call.account.waitingNanos() > node.limits().maxWait().toNanos()) {
        fail(call, waitedTooLong());
      }
    }
    return any;
  }

  private void decodeImages(EncodeCall call) {
    for (int place = 0; place < call.request.getItemsCount(); place++) {
      int itemPlace = place;
      images.decode(
          call.request.getItems(place),
          call::isOver,
          decoded -> node.loop().execute(() -> imageDecoded(call, itemPlace, decoded)),
          error -> node.loop().execute(() -> fail(call, error)));
    }
  }

  private void imageDecoded(EncodeCall call, int itemPlace, ImageDecoding.Decoded decoded) {
    if (call.isOver()) {
      return;
    }
    call.account.computed(decoded.nanos(), 0);
    MediaItem item = call.request.getItems(itemPlace);
    int tiles = decoded.tiles().size();
    if (tiles != item.getTiles()) {
      fail(
          call,
          new EpidoteException.InvalidRequest(
              "Media item %d has %d tiles here, but the request says %d: the router and this node must serve the same checkpoint."
                  .formatted(item.getIndex(), tiles, item.getTiles())));
      return;
    }
    for (int tile = 0; tile < tiles; tile++) {
      ready.add(new TileJob(call, itemPlace, tile, decoded.tiles().get(tile)));
    }
  }

  private List<TileJob> schedule() {
    List<TileJob> batch = new ArrayList<>();
    while (batch.size() < encoder.maxBatch() && !ready.isEmpty()) {
      batch.add(ready.remove());
    }
    return batch;
  }

  private boolean run(List<TileJob> batch) {
    try {
      encoder.encode(
          batch.stream().map(TileJob::pixels).toList(),
          batch.stream().map(job -> media.pool().block(job.call().blocks[job.place()])).toList());
      return true;
    } catch (RuntimeException | Error e) {
      EpidoteException told =
          e instanceof EpidoteException known
              ? known
              : new EpidoteException.Internal(
                  "The vision encoder failed on this request's tiles.", e);
      batch.stream().map(TileJob::call).distinct().forEach(call -> fail(call, told));
      if (e instanceof Error error) {
        throw error;
      }
      return false;
    }
  }

  private void postprocess(List<TileJob> batch, long nanos) {
    node.meters().step(kind(), nanos, batch.size());
    for (EncodeCall call : new LinkedHashSet<>(batch.stream().map(TileJob::call).toList())) {
      call.account.computed(nanos, (int) batch.stream().filter(job -> job.call() == call).count());
    }
    for (TileJob job : batch) {
      announce(job);
    }
  }

  private void announce(TileJob job) {
    EncodeCall call = job.call();
    int block = call.blocks[job.place()];
    Handle handle =
        node.leases().grant(media.pool(), new int[] {block}, end -> tileFreed(call, block, end));
    call.announced.set(job.place());
    call.handles.add(handle);
    call.openLeases++;
    call.reply()
        .send(
            EncodeResponse.newBuilder()
                .setReady(
                    TileReady.newBuilder()
                        .setItem(call.request.getItems(job.itemPlace()).getIndex())
                        .setTile(job.tile())
                        .setHandle(handle))
                .build());
    if (call.announced.cardinality() == call.tiles) {
      StageTiming timing = call.account.timing();
      node.meters().requestDone(timing);
      call.reply()
          .send(
              EncodeResponse.newBuilder()
                  .setDone(StageDone.newBuilder().setTiming(timing))
                  .build());
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

  private void cancelled(EncodeCall call) {
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

  /** Frees all that the request holds. Blocks under a lease follow when no pull has them pinned. */
  private void end(EncodeCall call) {
    call.become(EncodePhase.ENDED);
    calls.remove(call);
    waitingBytes -= call.bytes;
    requireNonNull(call.ticket).leave();
    ready.removeIf(job -> job.call() == call);
    for (int place = 0; place < call.blocks.length; place++) {
      if (!call.announced.get(place)) {
        media.pool().release(call.blocks[place]);
      }
    }
    call.handles.forEach(node.leases()::revoke);
  }

  @Override
  public void abortAll(EpidoteException reason) {
    List.copyOf(calls).forEach(call -> fail(call, reason));
  }

  @Override
  public StageLoad load() {
    int queued = (int) calls.stream().filter(call -> call.phase() == EncodePhase.RESERVING).count();
    return new StageLoad(
        calls.size() - queued,
        queued,
        0,
        List.of(),
        List.of(media.pool()),
        new StageLoad.Weights(
            "vision", encoder.weightBytes(), encoder.precision(), encoder::memory));
  }

  private static EpidoteException full() {
    return new EpidoteException.Exhausted(
        "The encode stage has as many requests as it can hold; try again in a second.");
  }

  private EpidoteException waitedTooLong() {
    return new EpidoteException.Exhausted(
        "No room for media tokens within %s; try again later or add encode nodes."
            .formatted(Limits.words(node.limits().maxWait())));
  }

  private EpidoteException tooManyTiles(String tiles) {
    return new EpidoteException.TooLarge(
        "The request's media are %s tiles, but this node holds %d; send fewer or smaller images, or give the node more media blocks."
            .formatted(tiles, media.pool().total()));
  }
}
