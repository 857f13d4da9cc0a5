package io.epidote.engine.memory;

import static java.util.Objects.requireNonNull;

import java.lang.foreign.Arena;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.Optional;

/**
 * Room outside a pool for the bytes of blocks whose owners have to wait. It takes memory as it is
 * first needed, up to a bound, and keeps it for the next time. Belongs to the engine thread.
 */
public final class SwapSpace {
  private final BlockPool pool;
  private final int total;
  private final ArrayDeque<ByteBuffer> spare = new ArrayDeque<>();
  private int used;

  /**
   * @param pool whose blocks go out and come back
   * @param total blocks that may be out at a time, 0 for none
   */
  public SwapSpace(BlockPool pool, int total) {
    this.pool = requireNonNull(pool, "pool is null");
    this.total = total;
    if (total < 0) {
      throw new IllegalArgumentException("room for %d blocks; expected 0 or more".formatted(total));
    }
  }

  public int total() {
    return total;
  }

  /** Blocks that are out. */
  public int used() {
    return used;
  }

  /** Bytes of memory that have been taken so far. */
  public long bytes() {
    return (long) pool.blockBytes() * (used + spare.size());
  }

  /**
   * Copies a block's bytes; the caller may let go of the block then.
   *
   * @return what {@link #restore} or {@link #drop} wants, or empty when there is no room
   */
  public Optional<ByteBuffer> tryStore(int block) {
    if (used == total) {
      return Optional.empty();
    }
    ByteBuffer slot = spare.isEmpty() ? allocate() : spare.pop();
    used++;
    slot.clear();
    pool.parts(block).forEach(slot::put);
    return Optional.of(slot.flip());
  }

  private ByteBuffer allocate() {
    return Arena.ofAuto()
        .allocate(pool.blockBytes(), Long.BYTES)
        .asByteBuffer()
        .order(ByteOrder.nativeOrder());
  }

  /** Copies the bytes back into a block, and frees the slot. */
  public void restore(ByteBuffer slot, int block) {
    int from = 0;
    for (ByteBuffer part : pool.parts(block)) {
      part.put(0, slot, from, part.capacity());
      from += part.capacity();
    }
    drop(slot);
  }

  /** Frees the slot. */
  public void drop(ByteBuffer slot) {
    used--;
    spare.push(slot);
  }
}
