package io.epidote.engine.memory;

import static java.util.Objects.requireNonNull;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Finds KV blocks by what they hold, so that a prompt's beginning is not computed twice. Full
 * blocks never change, so any number of sequences may hold one; whoever goes on after it writes
 * into blocks of its own. Blocks that nobody holds stay in the pool, cached, until it needs them.
 * Belongs to the engine thread.
 */
public final class PrefixCache {
  private final BlockPool pool;
  private final Map<BlockKey, Integer> blockOf = new HashMap<>();
  private final @Nullable BlockKey[] keyOf;

  /**
   * @param pool has at most one cache
   */
  public PrefixCache(BlockPool pool) {
    this.pool = requireNonNull(pool, "pool is null");
    this.keyOf = new BlockKey[pool.total()];
    pool.onEvict(this::forget);
  }

  /**
   * The blocks of the longest known beginning of a chain, with a reference each, which the caller
   * drops.
   */
  public int[] retain(List<BlockKey> chain) {
    List<Integer> found = new ArrayList<>();
    for (BlockKey key : chain) {
      Integer block = blockOf.get(key);
      if (block == null) {
        break;
      }
      found.add(block);
    }
    int[] blocks = found.stream().mapToInt(Integer::intValue).toArray();
    pool.retain(blocks);
    return blocks;
  }

  /**
   * Makes full blocks known that the caller holds.
   *
   * @param chain the keys of the first blocks
   * @param blocks of a sequence, at least as many
   */
  public void add(List<BlockKey> chain, int[] blocks) {
    for (int i = 0; i < chain.size(); i++) {
      // Two requests may have computed the same block at a time; the first one's is kept.
      if (keyOf[blocks[i]] == null && blockOf.putIfAbsent(chain.get(i), blocks[i]) == null) {
        keyOf[blocks[i]] = chain.get(i);
        pool.keep(blocks[i]);
      }
    }
  }

  /** Blocks that can be found. */
  public int size() {
    return blockOf.size();
  }

  private void forget(int block) {
    BlockKey key = keyOf[block];
    keyOf[block] = null;
    blockOf.remove(key);
  }
}
