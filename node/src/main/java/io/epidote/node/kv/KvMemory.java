package io.epidote.node.kv;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.memory.PrefixCache;
import io.epidote.engine.memory.SwapSpace;
import io.epidote.node.engine.BlockQueue;
import java.util.Optional;

/** A node's KV blocks with everything that decides who gets them. */
public final class KvMemory {
  private final BlockPool pool;
  private final BlockQueue line;
  private final SwapSpace swap;
  private final KvBudget budget;
  private final EarlyHolders early;
  private final Optional<PrefixCache> prefixes;

  /**
   * @param pool of KV blocks
   * @param swapBlocks blocks that may be swapped out to memory outside the pool. With 0 nobody is
   *     ever preempted: a sequence is admitted when the longest answer it may give fits, too
   * @param cachePrefixes whether blocks of prompts are kept for later prompts that begin alike
   */
  public KvMemory(BlockPool pool, int swapBlocks, boolean cachePrefixes) {
    this.pool = requireNonNull(pool, "pool is null");
    this.line = new BlockQueue(pool);
    this.swap = new SwapSpace(pool, swapBlocks);
    this.budget = new KvBudget(pool.total(), swapBlocks, new AnswerLengths());
    this.early = new EarlyHolders(line.line());
    this.prefixes = cachePrefixes ? Optional.of(new PrefixCache(pool)) : Optional.empty();
  }

  public BlockPool pool() {
    return pool;
  }

  public BlockQueue line() {
    return line;
  }

  public SwapSpace swap() {
    return swap;
  }

  public KvBudget budget() {
    return budget;
  }

  /** Sequences that take blocks before all of their input is there. */
  public EarlyHolders early() {
    return early;
  }

  /** Empty when prompts' beginnings are not kept. */
  public Optional<PrefixCache> prefixes() {
    return prefixes;
  }
}
