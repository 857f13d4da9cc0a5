package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.memory.BlockPool;
import java.util.ArrayDeque;
import java.util.Optional;

/**
 * The line in which requests of all stages of a node wait for blocks of one pool, first come first
 * served: a large request is not overtaken for ever by small ones. Belongs to the engine thread.
 *
 * <p>A request takes all it will ever need of the pool at once and holds nothing of the pool while
 * it waits, so waiting here cannot end in a deadlock over this pool.
 */
public final class BlockQueue {
  private final BlockPool pool;
  private final ArrayDeque<Ticket> line = new ArrayDeque<>();

  public BlockQueue(BlockPool pool) {
    this.pool = requireNonNull(pool, "pool is null");
  }

  public BlockPool pool() {
    return pool;
  }

  /** Whether this many blocks can be had at all. */
  public boolean canEverFit(int blocks) {
    return blocks <= pool.total();
  }

  /** Gets in line for {@code blocks} blocks, which must fit an empty pool. */
  public Ticket enter(int blocks) {
    if (blocks < 0 || !canEverFit(blocks)) {
      throw new IllegalArgumentException(
          "%d blocks can never be had from a pool of %d".formatted(blocks, pool.total()));
    }
    Ticket ticket = new Ticket(blocks);
    line.add(ticket);
    return ticket;
  }

  /** A place in the line. */
  public final class Ticket {
    private final int blocks;

    private Ticket(int blocks) {
      this.blocks = blocks;
    }

    /** The blocks, with one reference each, when it is this ticket's turn and they are free. */
    public Optional<int[]> take() {
      if (line.peek() != this) {
        return Optional.empty();
      }
      Optional<int[]> taken = pool.tryAllocate(blocks);
      taken.ifPresent(ids -> line.remove());
      return taken;
    }

    /** Gives up the place; harmless when it has been used or left before. */
    public void leave() {
      line.remove(this);
    }
  }
}
