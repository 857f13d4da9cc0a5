package io.epidote.encode;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.MediaKeys;
import io.epidote.node.NodeContext;
import io.epidote.node.grpc.GrpcErrors;
import io.epidote.node.grpc.ReplyStream;
import io.epidote.node.wire.StageAccount;
import io.epidote.proto.stage.v1.EncodeRequest;
import io.epidote.proto.stage.v1.EncodeResponse;
import io.epidote.proto.stage.v1.EncodeServiceGrpc;
import io.epidote.proto.stage.v1.MediaItem;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.List;

/**
 * How requests for tiles come in: the gRPC service, and what is checked before a request is one.
 */
final class EncodeIntake extends EncodeServiceGrpc.EncodeServiceImplBase {
  private final NodeContext node;
  private final EncodeStage stage;
  private final MediaKeys keys;

  EncodeIntake(NodeContext node, EncodeStage stage, MediaKeys keys) {
    this.node = node;
    this.stage = stage;
    this.keys = keys;
  }

  @Override
  public void encode(EncodeRequest request, StreamObserver<EncodeResponse> observer) {
    EncodeCall call;
    try {
      check(request);
      call =
          new EncodeCall(
              request,
              keys,
              new StageAccount(stage.kind(), node.nodeId(), stage.precision()),
              stage.costs(),
              stage.turns().share());
    } catch (EpidoteException e) {
      observer.onError(GrpcErrors.toStatus(e));
      return;
    }
    call.open(
        new ReplyStream<>(
            (ServerCallStreamObserver<EncodeResponse>) observer,
            node.loop().urgent(),
            node.limits().replies(),
            () -> stage.cancelled(call)));
    if (!node.loop().urgent().offer(() -> stage.admit(call))) {
      observer.onError(GrpcErrors.toStatus(EncodeStage.full()));
    }
  }

  private void check(EncodeRequest request) {
    if (request.getItemsCount() == 0) {
      throw new EpidoteException.InvalidRequest(
          "The encode request has no media items; expected at least one.");
    }
    long tiles = 0;
    long bytes = 0;
    for (MediaItem item : request.getItemsList()) {
      if (item.getTiles() <= 0 || item.getData().isEmpty()) {
        throw new EpidoteException.InvalidRequest(
            "Media item %d has %d tiles and %d bytes; expected at least one of each."
                .formatted(item.getIndex(), item.getTiles(), item.getData().size()));
      }
      if (item.getSha256().size() != MediaKeys.DIGEST_BYTES) {
        throw new EpidoteException.InvalidRequest(
            "Media item %d has a digest of %d bytes; expected the %d of a SHA-256."
                .formatted(item.getIndex(), item.getSha256().size(), MediaKeys.DIGEST_BYTES));
      }
      checkWanted(item);
      checkFrames(item);
      bytes += item.getData().size();
      tiles += item.getWantedCount() == 0 ? item.getTiles() : item.getWantedCount();
    }
    // Before a list of them is made.
    stage.checkFits(tiles, bytes);
  }

  private static void checkWanted(MediaItem item) {
    List<Integer> wanted = item.getWantedList();
    for (int i = 0; i < wanted.size(); i++) {
      int tile = wanted.get(i);
      if (tile < 0 || tile >= item.getTiles() || (i > 0 && tile <= wanted.get(i - 1))) {
        throw new EpidoteException.InvalidRequest(
            "Tile %d of media item %d is wanted; expected tiles 0 to %d in rising order."
                .formatted(Integer.toUnsignedLong(tile), item.getIndex(), item.getTiles() - 1));
      }
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
}
