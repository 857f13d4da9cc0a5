package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.memory.BlockPool;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * The line in which requests of all stages of a node wait for blocks of one pool. Whose turn it is
 * follows from the turns of the stage whose request has been in line for longest; whoever it is
 * takes what it asked for before anybody else takes anything, so that a large request is not
 * overtaken for ever by small ones. Belongs to the engine thread.
 *
 * <p>A request holds nothing of the pool while it waits, and what it takes when it is its turn is
 * enough to go on with: all that it will ever need, or blocks of a sequence that can be swapped
 * out. So waiting here cannot end in a deadlock over this pool, whatever the order.
 */
public final class BlockQueue {
  /** How long a turn stands while the line is the same: an order may depend on the time. */
  private static final long TURN_NANOS = Duration.ofMillis(1).toNanos();

  private final BlockPool pool;
  private final ArrayDeque<Ticket> line = new ArrayDeque<>();
  private @Nullable Ticket next;
  private long nextSince;

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

  /**
   * Gets in line for {@code blocks} blocks, which must fit an empty pool.
   *
   * @param turns by which those who give the same ones are served
   */
  public Ticket enter(int blocks, Turns turns, Waiting request) {
    if (blocks < 0 || !canEverFit(blocks)) {
      throw new IllegalArgumentException(
          "%d blocks can never be had from a pool of %d".formatted(blocks, pool.total()));
    }
    Ticket ticket = new Ticket(blocks, turns, request);
    line.add(ticket);
    next = null;
    return ticket;
  }

  private @Nullable Ticket next() {
    long now = System.nanoTime();
    if (next == null || now - nextSince > TURN_NANOS) {
      next = choose(now);
      nextSince = now;
    }
    return next;
  }

  private @Nullable Ticket choose(long now) {
    Ticket oldest = line.peek();
    if (oldest == null) {
      return null;
    }
    List<Ticket> alike = line.stream().filter(ticket -> ticket.turns == oldest.turns).toList();
    return oldest.turns.sort(alike, now).getFirst();
  }

  /** A place in the line. */
  public final class Ticket implements Waiting {
    private final int blocks;
    private final Turns turns;
    private final Waiting request;

    private Ticket(int blocks, Turns turns, Waiting request) {
      this.blocks = blocks;
      this.turns = turns;
      this.request = request;
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
      if (next() != this) {
        return Optional.empty();
      }
      Optional<int[]> taken = taking.get();
      taken.ifPresent(ids -> leave());
      return taken;
    }

    /** Gives up the place; harmless when it has been used or left before. */
    public void leave() {
      line.remove(this);
      next = null;
    }

    @Override
    public long since() {
      return request.since();
    }

    @Override
    public OptionalLong deadline() {
      return request.deadline();
    }

    @Override
    public Flow flow() {
      return request.flow();
    }

    @Override
    public double remainingWork() {
      return request.remainingWork();
    }

    @Override
    public double remainingMs() {
      return request.remainingMs();
    }
  }
}
