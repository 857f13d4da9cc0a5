package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.memory.BlockPool;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * The line in which requests of all stages of a node wait for blocks of one pool ({@link Line} says
 * whose turn it is). Whoever it is takes what it asked for before anybody else takes anything, so
 * that a large request is not overtaken for ever by small ones. Belongs to the engine thread.
 *
 * <p>A request holds nothing of the pool while it waits, and what it takes when it is its turn is
 * enough to go on with: all that it will ever need, or blocks of a sequence that can be swapped
 * out. So waiting here cannot end in a deadlock over this pool, whatever the order.
 */
public final class BlockQueue {
  private final BlockPool pool;
  private final Line line;

  public BlockQueue(BlockPool pool) {
    this.pool = requireNonNull(pool, "pool is null");
    this.line = new Line(pool.total(), System::nanoTime);
  }

  public BlockPool pool() {
    return pool;
  }

  /** Who waits. */
  public Line line() {
    return line;
  }

  /** Whether nobody waits. */
  public boolean isEmpty() {
    return line.isEmpty();
  }

  /** Whether this many blocks can be had at all. */
  public boolean canEverFit(int blocks) {
    return line.canEverFit(blocks);
  }

  /**
   * Gets in line for {@code blocks} blocks, which must fit an empty pool.
   *
   * @param turns by which those who give the same ones are served
   */
  public Ticket enter(int blocks, Turns turns, Waiting request) {
    return new Ticket(blocks, line.enter(blocks, turns, request));
  }

  /** A place in the line. */
  public final class Ticket {
    private final int blocks;
    private final Line.Place place;

    private Ticket(int blocks, Line.Place place) {
      this.blocks = blocks;
      this.place = place;
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
      if (!place.isNext()) {
        return Optional.empty();
      }
      Optional<int[]> taken = taking.get();
      taken.ifPresent(ids -> leave());
      return taken;
    }

    /** Gives up the place; harmless when it has been used or left before. */
    public void leave() {
      place.leave();
    }
  }
}
