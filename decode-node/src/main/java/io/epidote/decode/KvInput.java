package io.epidote.decode;

import io.epidote.engine.memory.BlockKey;
import io.epidote.node.lease.SharedBlocks;
import io.epidote.proto.stage.v1.Handle;
import java.util.List;

/** KV blocks of a part of the prompt. */
sealed interface KvInput {
  /** How many blocks the part has. */
  int blocks();

  /**
   * Another node holds them under a lease that is being renewed.
   *
   * @param keys of its blocks, as far as they are full and known
   */
  record Remote(Handle handle, int blocks, List<BlockKey> keys) implements KvInput {}

  /** The prefill stage of this process made them; this request has references of its own. */
  record Shared(SharedBlocks shared) implements KvInput {
    @Override
    public int blocks() {
      return shared.blocks().length;
    }
  }
}
