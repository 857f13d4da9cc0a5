package io.epidote.encode;

import static java.util.Objects.requireNonNull;

import io.epidote.node.engine.BlockQueue;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.Handle;
import io.epidote.proto.stage.v1.MediaItem;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** One encode request: its phase and what it holds. Belongs to the engine thread. */
final class EncodeCall {
  final EncodeRequest request;
  final StageAccount account;
  final int tiles;
  final long bytes;

  /** Tiles whose tokens were announced; their blocks belong to their leases. */
  final BitSet announced = new BitSet();

  final List<Handle> handles = new ArrayList<>();
  int openLeases;
  int[] blocks = {};
  BlockQueue.@Nullable Ticket ticket;
  private @Nullable ReplyStream<EncodeResponse> reply;
  private EncodePhase phase = EncodePhase.RESERVING;

  /** Read by the threads that decode images, to skip work that nobody waits for. */
  private volatile boolean ended;

  EncodeCall(EncodeRequest request, StageAccount account) {
    this.request = request;
    this.account = account;
    int count = 0;
    long size = 0;
    for (MediaItem item : request.getItemsList()) {
      count = Math.addExact(count, item.getTiles());
      size += item.getData().size();
    }
    this.tiles = count;
    this.bytes = size;
  }

  void open(ReplyStream<EncodeResponse> replyStream) {
    reply = replyStream;
  }

  ReplyStream<EncodeResponse> reply() {
    return requireNonNull(reply, "the call was not opened");
  }

  EncodePhase phase() {
    return phase;
  }

  boolean isOver() {
    return ended;
  }

  void become(EncodePhase next) {
    if (!phase.mayBecome(next)) {
      throw new IllegalStateException(
          "an encode request cannot go from %s to %s".formatted(phase, next));
    }
    phase = next;
    ended = next == EncodePhase.ENDED;
  }

  /** The place of an item's first tile among the request's tiles. */
  int firstTile(int itemPlace) {
    int first = 0;
    for (int i = 0; i < itemPlace; i++) {
      first += request.getItems(i).getTiles();
    }
    return first;
  }
}
