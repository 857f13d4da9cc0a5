package io.epidote.engine.memory;

import static java.util.Objects.requireNonNull;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Optional;

/**
 * Blocks of one size over one direct buffer, with a reference count each.
 *
 * <p>The accounts ({@link #tryAllocate}, {@link #retain}, {@link #release}, the counters) belong to
 * one thread, the node's engine thread. The bytes may be read and written by others for as long as
 * someone holds a reference for them: whoever hands a block to another thread must not release it
 * before that thread is done.
 *
 * <p>The whole pool is one buffer because the decoder graph takes it as a single input and gathers
 * blocks inside; that bounds a pool to 2 GiB.
 */
public final class BlockPool {
  private final String name;
  private final int blockBytes;
  private final ByteBuffer memory;
  private final int[] references;
  private final int[] freeStack;
  private int free;

  /**
   * @param name for messages, for example {@code kv}
   * @param blockBytes bytes in a block
   * @param blocks how many blocks to hold
   */
  public BlockPool(String name, int blockBytes, int blocks) {
    this.name = requireNonNull(name, "name is null");
    if (blockBytes <= 0 || blocks <= 0 || (long) blockBytes * blocks > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "A %s pool of %d blocks of %d bytes cannot be made: it must hold at least one block and at most 2 GiB"
              .formatted(name, blocks, blockBytes));
    }
    this.blockBytes = blockBytes;
    this.memory = ByteBuffer.allocateDirect(blockBytes * blocks).order(ByteOrder.nativeOrder());
    this.references = new int[blocks];
    this.freeStack = new int[blocks];
    // Low ids first, so that a lightly used pool touches few pages.
    for (int i = 0; i < blocks; i++) {
      freeStack[i] = blocks - 1 - i;
    }
    this.free = blocks;
  }

  public String name() {
    return name;
  }

  public int blockBytes() {
    return blockBytes;
  }

  public int total() {
    return references.length;
  }

  public int free() {
    return free;
  }

  public int used() {
    return references.length - free;
  }

  /** Takes {@code count} blocks with one reference each, or none of them when too few are free. */
  public Optional<int[]> tryAllocate(int count) {
    if (count > free) {
      return Optional.empty();
    }
    int[] ids = new int[count];
    for (int i = 0; i < count; i++) {
      ids[i] = freeStack[--free];
      references[ids[i]] = 1;
    }
    return Optional.of(ids);
  }

  /** Adds a reference to each block. */
  public void retain(int... ids) {
    for (int id : ids) {
      if (references[id] <= 0) {
        throw new IllegalStateException(
            "%s block %d is free and cannot be shared".formatted(name, id));
      }
      references[id]++;
    }
  }

  /** Drops a reference of each block; a block without references is free again. */
  public void release(int... ids) {
    for (int id : ids) {
      if (references[id] <= 0) {
        throw new IllegalStateException("%s block %d was released twice".formatted(name, id));
      }
      if (--references[id] == 0) {
        freeStack[free++] = id;
      }
    }
  }

  /** The bytes of one block, in native order; a view, not a copy. */
  public ByteBuffer block(int id) {
    return memory.slice(id * blockBytes, blockBytes).order(ByteOrder.nativeOrder());
  }

  /** The bytes of all blocks, block 0 first; a view in native order. */
  public ByteBuffer memory() {
    return memory.duplicate().order(ByteOrder.nativeOrder());
  }

  /**
   * Checks that every block is either free or referenced, and none both.
   *
   * @throws IllegalStateException naming the first discrepancy
   */
  public void checkIntegrity() {
    boolean[] seen = new boolean[references.length];
    for (int i = 0; i < free; i++) {
      int id = freeStack[i];
      if (seen[id] || references[id] != 0) {
        throw new IllegalStateException(
            "%s block %d is on the free list with %d references"
                .formatted(name, id, references[id]));
      }
      seen[id] = true;
    }
    for (int id = 0; id < references.length; id++) {
      if (!seen[id] && references[id] <= 0) {
        throw new IllegalStateException(
            "%s block %d is lost: neither free nor referenced".formatted(name, id));
      }
    }
  }
}
