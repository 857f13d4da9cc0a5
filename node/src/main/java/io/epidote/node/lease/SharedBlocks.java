package io.epidote.node.lease;

import io.epidote.engine.memory.BlockPool;

/**
 * Blocks of this process that a consumer in the same process has taken over instead of pulling
 * them. The taker holds one reference of each and drops it with {@link #release}.
 *
 * @param pool where the blocks are
 * @param blocks the blocks behind the handle, in order
 * @param spare further blocks that the producer had reserved for whoever continues the sequence
 */
public record SharedBlocks(BlockPool pool, int[] blocks, int[] spare) {
  /** Drops the references; on the engine thread, once. */
  public void release() {
    pool.release(blocks);
    pool.release(spare);
  }
}
