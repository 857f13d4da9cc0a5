package io.epidote.prefill;

import io.epidote.engine.memory.BlockPool;
import io.epidote.node.lease.SharedBlocks;
import io.epidote.proto.stage.v1.Handle;
import java.nio.ByteBuffer;

/** The media tokens of one span on their way to this stage. */
sealed interface MediaInput {
  /** Not announced. */
  record Awaited() implements MediaInput {}

  /** Another node holds them under a lease that is being renewed. */
  record Remote(Handle handle) implements MediaInput {}

  /** A pull is writing them into a block of this stage's pool. */
  record Arriving(BlockPool pool, int block) implements MediaInput {}

  /** In a block that is here, with a reference of its own. */
  sealed interface Present extends MediaInput {
    /** {@code [tokens, hidden]}, from position 0. */
    ByteBuffer rows();

    void release();
  }

  /** Read in place: the encode stage of this process made them. */
  record Shared(SharedBlocks blocks) implements Present {
    @Override
    public ByteBuffer rows() {
      return blocks.pool().block(blocks.blocks()[0]);
    }

    @Override
    public void release() {
      blocks.release();
    }
  }

  /** Pulled into a block of this stage's pool. */
  record Pulled(BlockPool pool, int block) implements Present {
    @Override
    public ByteBuffer rows() {
      return pool.block(block);
    }

    @Override
    public void release() {
      pool.release(block);
    }
  }

  /** Computed, and not needed any more. */
  record Used() implements MediaInput {}
}
