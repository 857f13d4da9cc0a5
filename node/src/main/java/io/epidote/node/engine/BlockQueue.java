package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.memory.BlockPool;
import java.util.ArrayDeque;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * The line in which requests of all stages of a node wait for blocks of one pool, first come first
 * served: a large request is not overtaken for ever by small ones. Belongs to the engine thread.
 *
 * <p>A request holds nothing of the pool while it waits, and what it takes at the head of the line
 * is enough to go on with: all that it will ever need, or blocks of a sequence that can be swapped
 * out. So waiting here cannot end in a deadlock over this pool.
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

  /** Whether nobody waits. */
  public boolean isEmpty() {
    return line.isEmpty();
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
      return take(() -> pool.tryAllocate(blocks));
    }

    /**
     * The same for a request that has more to ask for than room: when it is this ticket's turn,
     * {@code taking} decides, and with what it takes the ticket is used.
     */
    public Optional<int[]> take(Supplier<Optional<int[]>> taking) {
      if (line.peek() != this) {
        return Optional.empty();
      }
      Optional<int[]> taken = taking.get();
      taken.ifPresent(ids -> line.remove());
      return taken;
    }

    /** Gives up the place; harmless when it has been used or left before. */
    public void leave() {
      line.remove(this);
    }
  }
}
