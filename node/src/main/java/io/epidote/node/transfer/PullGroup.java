package io.epidote.node.transfer;

import io.epidote.proto.stage.v1.Handle;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executor;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** All pulls of one request: they succeed or fail together. Belongs to the engine thread. */
public final class PullGroup {
  /** A handle, where its bytes go, and how they travel. */
  public record Piece(Handle handle, List<ByteBuffer> destinations, WireForm form) {}

  private final List<Pull> pulls = new ArrayList<>();
  private final Consumer<PullEnd> ended;
  private int running;
  private long bytes;
  private long moved;
  private long nanos;
  private @Nullable PullEnd failure;

  private PullGroup(int pieces, Consumer<PullEnd> ended) {
    this.running = pieces;
    this.ended = ended;
  }

  /**
   * Starts to pull all pieces, at least one.
   *
   * @param engine the engine thread
   * @param ended runs once on the engine thread when every pull has ended, so that all destinations
   *     may be reused: with the whole group's bytes and its longest pull's time, or with the first
   *     failure
   */
  public static PullGroup start(
      TransferClient transfers, Executor engine, List<Piece> pieces, Consumer<PullEnd> ended) {
    PullGroup group = new PullGroup(pieces.size(), ended);
    for (Piece piece : pieces) {
      group.pulls.add(
          transfers.pull(
              piece.handle(),
              piece.destinations(),
              piece.form(),
              end -> engine.execute(() -> group.pieceEnded(end))));
    }
    return group;
  }

  /** Gives up; {@code ended} still comes. */
  public void cancel() {
    if (failure == null) {
      failure = new PullEnd.Cancelled();
    }
    pulls.forEach(Pull::cancel);
  }

  private void pieceEnded(PullEnd end) {
    running--;
    if (end instanceof PullEnd.Pulled pulled) {
      bytes += pulled.bytes();
      moved += pulled.moved();
      nanos = Math.max(nanos, pulled.nanos());
    } else if (failure == null) {
      failure = end;
      pulls.forEach(Pull::cancel);
    }
    if (running == 0) {
      ended.accept(failure == null ? new PullEnd.Pulled(bytes, moved, nanos) : failure);
    }
  }
}
