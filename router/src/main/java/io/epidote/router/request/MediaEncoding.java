package io.epidote.router.request;

import io.epidote.node.trace.OpenSpan;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.MediaReady;
import io.epidote.proto.stage.v1.TileReady;
import io.epidote.proto.v1.StageTiming;
import io.epidote.router.cluster.EncodeShard;
import io.grpc.SynchronizationContext;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The encode side of an answer: its media are divided over the encode nodes, each gets a call with
 * the files that it needs, and the tiles that they announce, in whatever order, are told by their
 * place in the prompt. Everything happens in the request's turn.
 *
 * <p>A node is asked when the one before it has room for all its tiles, in the order of node ids,
 * whatever request or router asks. So a request that waits for room on one node holds none of those
 * behind it, and no two can wait for each other in a circle.
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

    void failed(StageFailure failure);

    /** A node broke the protocol. */
    void defect(String message);
  }

  private final String stageRequestId;
  private final Deque<EncodeShard> unasked;
  private final String tenant;
  private final int priority;
  private final String adapter;
  private final OptionalDouble ttftLeftMs;
  private final OpenSpan span;
  private final SynchronizationContext turn;
  private final Events events;
  private final Map<Long, Integer> spanOfTile;
  private final List<StageCall<EncodeRequest, EncodeResponse>> calls = new ArrayList<>();

  /** The last that was asked, until it has room. */
  private @Nullable EncodeShard reserving;

  /**
   * @param shards the nodes that encode, and what
   * @param ttftLeftMs what is left now until the first token should be out
   */
  MediaEncoding(
      PreparedRequest prepared,
      String stageRequestId,
      List<EncodeShard> shards,
      OptionalDouble ttftLeftMs,
      OpenSpan span,
      SynchronizationContext turn,
      Events events) {
    this.stageRequestId = stageRequestId;
    this.tenant = prepared.request().tenant();
    this.priority = prepared.request().priority();
    this.adapter = prepared.adapter();
    this.ttftLeftMs = ttftLeftMs;
    this.span = span;
    this.unasked =
        shards.stream()
            .sorted(Comparator.comparing(shard -> shard.seat().member().id()))
            .collect(Collectors.toCollection(ArrayDeque::new));
    this.turn = turn;
    this.events = events;
    this.spanOfTile = prepared.spanOfTile();
  }

  /** Opens a call to the first node that has something to do. */
  void start() {
    openNext();
  }

  private void openNext() {
    reserving = unasked.poll();
    if (reserving != null) {
      open(reserving);
    }
  }

  private void open(EncodeShard shard) {
    EncodeRequest.Builder request =
        EncodeRequest.newBuilder()
            .setRequestId(stageRequestId)
            .setTenant(tenant)
            .setPriority(priority)
            .setAdapter(adapter)
            .addAllItems(shard.items());
    ttftLeftMs.ifPresent(request::setTtftLeftMs);
    calls.add(
        StageCall.open(
            EncodeServiceGrpc.getEncodeMethod(),
            shard.seat(),
            request.build(),
            span,
            turn,
            StageCall.events(
                response -> heard(shard, response), () -> ended(shard), events::failed)));
  }

  private void heard(EncodeShard shard, EncodeResponse response) {
    switch (response.getEventCase()) {
      case RESERVED -> {
        if (shard.equals(reserving)) {
          openNext();
        }
      }
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

  /** Whether every call has. */
  boolean hasEnded() {
    for (StageCall<EncodeRequest, EncodeResponse> call : calls) {
      if (!call.ended()) {
        return false;
      }
    }
    return true;
  }

  Stream<StageCall<EncodeRequest, EncodeResponse>> calls() {
    return calls.stream();
  }
}
