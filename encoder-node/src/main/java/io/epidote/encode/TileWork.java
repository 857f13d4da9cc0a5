package io.epidote.encode;

import io.epidote.engine.memory.BlockKey;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The encoding of one tile, for every request that wants it at the time. Each of them holds a
 * reference of the block; when the last is gone, so is the work. Belongs to the engine thread.
 */
final class TileWork {
  /** A request that waits, and the tile's place among those that it wants. */
  record Waiter(EncodeCall call, int place) {}

  final EncodeCall.Tile tile;
  final int block;
  final List<Waiter> waiters = new ArrayList<>();

  /** Once the picture is decoded. */
  @Nullable FloatBuffer pixels;

  /** Milliseconds of the tile's part in the decoding of its picture. */
  double pictureMs;

  TileWork(EncodeCall.Tile tile, int block) {
    this.tile = tile;
    this.block = block;
  }

  BlockKey key() {
    return tile.key();
  }

  void leave(EncodeCall call) {
    waiters.removeIf(waiter -> waiter.call() == call);
  }

  boolean isWanted() {
    return !waiters.isEmpty();
  }
}
