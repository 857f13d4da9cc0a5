package io.epidote.decode;

import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.memory.SwapSpace;
import io.epidote.node.kv.KvMemory;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * One sequence's KV blocks in order, with a reference each. The last ones may be out in swap space;
 * then the sequence cannot run. Belongs to the engine thread.
 */
final class SequenceBlocks {
  private final BlockPool pool;
  private final SwapSpace swap;

  /** The block table, in the first {@link #count} places. */
  private int[] here = new int[8];

  private int count;

  /** What follows after the blocks that are here, the last block first. */
  private final List<ByteBuffer> out = new ArrayList<>();

  SequenceBlocks(KvMemory kv) {
    this.pool = kv.pool();
    this.swap = kv.swap();
  }

  /** Takes over the caller's references. */
  void append(int... blocks) {
    if (!isHere()) {
      throw new IllegalStateException("a sequence grows while it is swapped out");
    }
    if (count + blocks.length > here.length) {
      here = Arrays.copyOf(here, Math.max(2 * here.length, count + blocks.length));
    }
    System.arraycopy(blocks, 0, here, count, blocks.length);
    count += blocks.length;
  }

  /**
   * Puts blocks in the place of others, which are released.
   *
   * @param index of the first
   * @param blocks with a reference each, which is taken over
   */
  void replace(int index, int[] blocks) {
    pool.release(Arrays.copyOfRange(here, index, index + blocks.length));
    System.arraycopy(blocks, 0, here, index, blocks.length);
  }

  /** Blocks of the sequence, wherever they are. */
  int size() {
    return count + out.size();
  }

  /** Whether all blocks are in the pool. */
  boolean isHere() {
    return out.isEmpty();
  }

  boolean hasBlocksHere() {
    return count > 0;
  }

  /**
   * Makes sure that nobody else sees what is written into a block, by a copy if somebody would.
   *
   * @return false when the pool has no block for the copy
   */
  boolean own(int index) {
    OptionalInt block = pool.tryOwn(here[index]);
    block.ifPresent(id -> here[index] = id);
    return block.isPresent();
  }

  /** Moves the last block that is here out; false when swap space has no room. */
  boolean swapOut() {
    Optional<ByteBuffer> slot = swap.tryStore(here[count - 1]);
    slot.ifPresent(bytes -> {
      out.add(bytes);
      pool.release(here[--count]);
    });
    return slot.isPresent();
  }

  /** Moves the first block that is out into {@code block}, taking over the caller's reference. */
  void swapIn(int block) {
    swap.restore(out.removeLast(), block);
    here[count++] = block;
  }

  /** The block table. */
  int[] table() {
    return Arrays.copyOf(here, count);
  }

  /** Frees everything; the sequence is empty then. */
  void release() {
    pool.release(table());
    count = 0;
    out.forEach(swap::drop);
    out.clear();
  }
}
