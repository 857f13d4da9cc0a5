package io.epidote.node.lease;

import io.epidote.engine.memory.BlockPool;

/**
 * Blocks of this process that a consumer in the same process has taken over instead of pulling
 * them. The taker holds one reference of each and drops it with {@link #release}.
 *
 * @param pool where the blocks are
 * @param blocks the blocks behind the handle, in order
 */
public record SharedBlocks(BlockPool pool, int[] blocks) {
  /** Drops the references; on the engine thread, once. */
  public void release() {
    pool.release(blocks);
  }
}
