package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.MediaReady;
import io.epidote.proto.stage.v1.TileReady;
import io.epidote.proto.v1.StageTiming;
import io.epidote.router.cluster.EncodeShard;
import io.grpc.SynchronizationContext;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.stream.Stream;

/**
 * The encode side of an answer: its media are divided over the encode nodes, each gets a call with
 * the files that it needs, and the tiles that they announce, in whatever order, are told by their
 * place in the prompt. Everything happens in the request's turn.
 */
final class MediaEncoding {
  /** What the answer hears. */
  interface Events {
    /** A tile's media tokens are ready. */
    void tile(MediaReady tile);

    /** One node's account of its part. */
    void done(StageTiming timing);

    /** A call has ended in order. */
    void ended();

    void failed(EpidoteException error);

    /** A node broke the protocol. */
    void defect(String message);
  }

  private final String stageRequestId;
  private final List<EncodeShard> shards;
  private final OptionalDouble ttftLeftMs;
  private final SynchronizationContext turn;
  private final Events events;
  private final Map<Long, Integer> spanOfTile;
  private final List<StageCall<EncodeRequest, EncodeResponse>> calls = new ArrayList<>();

  /**
   * @param shards the nodes that encode, and what
   * @param ttftLeftMs what is left now until the first token should be out
   */
  MediaEncoding(
      PreparedRequest prepared,
      String stageRequestId,
      List<EncodeShard> shards,
      OptionalDouble ttftLeftMs,
      SynchronizationContext turn,
      Events events) {
    this.stageRequestId = stageRequestId;
    this.shards = shards;
    this.ttftLeftMs = ttftLeftMs;
    this.turn = turn;
    this.events = events;
    this.spanOfTile = prepared.spanOfTile();
  }

  /** Opens a call to every node that has something to do. */
  void start() {
    shards.forEach(this::open);
  }

  private void open(EncodeShard shard) {
    EncodeRequest.Builder request =
        EncodeRequest.newBuilder().setRequestId(stageRequestId).addAllItems(shard.items());
    ttftLeftMs.ifPresent(request::setTtftLeftMs);
    calls.add(
        StageCall.open(
            EncodeServiceGrpc.getEncodeMethod(),
            shard.seat(),
            request.build(),
            turn,
            StageCall.events(
                response -> heard(shard, response), () -> ended(shard), events::failed)));
  }

  private void heard(EncodeShard shard, EncodeResponse response) {
    switch (response.getEventCase()) {
      case READY -> ready(shard, response.getReady());
      case DONE -> events.done(response.getDone().getTiming());
      case EVENT_NOT_SET -> {}
    }
  }

  private void ready(EncodeShard shard, TileReady tile) {
    Integer span = spanOfTile.get(PreparedRequest.tile(tile.getItem(), tile.getTile()));
    if (span == null || !shard.ready(tile.getItem(), tile.getTile())) {
      events.defect(
          "The encode node announced tile %d of media item %d, which nothing waits for."
              .formatted(tile.getTile(), tile.getItem()));
      return;
    }
    events.tile(MediaReady.newBuilder().setSpan(span).setHandle(tile.getHandle()).build());
  }

  private void ended(EncodeShard shard) {
    if (shard.pending() > 0) {
      events.defect(
          "The encode node ended its work with %d tiles not announced.".formatted(shard.pending()));
    }
    events.ended();
  }

  Stream<StageCall<EncodeRequest, EncodeResponse>> calls() {
    return calls.stream();
  }
}
