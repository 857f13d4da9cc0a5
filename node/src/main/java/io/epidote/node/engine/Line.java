package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Who is next for blocks of a pool, without the pool: whose turn it is follows from the turns of
 * the stage whose request has been in line for longest. Belongs to one thread.
 */
public final class Line {
  /** How long a turn stands while the line is the same: an order may depend on the time. */
  private static final long TURN_NANOS = Duration.ofMillis(1).toNanos();

  private final int total;
  private final LongSupplier clock;
  private final ArrayDeque<Place> places = new ArrayDeque<>();
  private @Nullable Place next;
  private long nextSince;

  /**
   * @param total blocks of the pool
   * @param clock as {@link System#nanoTime}
   */
  public Line(int total, LongSupplier clock) {
    this.total = total;
    this.clock = requireNonNull(clock, "clock is null");
  }

  /** Blocks of the pool. */
  public int total() {
    return total;
  }

  /** Whether nobody waits. */
  public boolean isEmpty() {
    return places.isEmpty();
  }

  /** Whether this many blocks can be had at all. */
  public boolean canEverFit(int blocks) {
    return blocks <= total;
  }

  /**
   * Gets in line for {@code blocks} blocks, which must fit an empty pool.
   *
   * @param turns by which those who give the same ones are served
   */
  public Place enter(int blocks, Turns turns, Waiting request) {
    if (blocks < 0 || !canEverFit(blocks)) {
      throw new IllegalArgumentException(
          "%d blocks can never be had from a pool of %d".formatted(blocks, total));
    }
    Place place = new Place(turns, request);
    places.add(place);
    next = null;
    return place;
  }

  private @Nullable Place next() {
    long now = clock.getAsLong();
    if (next == null || now - nextSince > TURN_NANOS) {
      next = choose(now);
      nextSince = now;
    }
    return next;
  }

  private @Nullable Place choose(long now) {
    Place oldest = places.peek();
    if (oldest == null) {
      return null;
    }
    List<Place> alike = places.stream().filter(place -> place.turns == oldest.turns).toList();
    return oldest.turns.sort(alike, now).getFirst();
  }

  /** A place in the line. */
  public final class Place implements Waiting {
    private final Turns turns;
    private final Waiting request;

    private Place(Turns turns, Waiting request) {
      this.turns = turns;
      this.request = request;
    }

    /** Whether it is this one's turn. */
    public boolean isNext() {
      return next() == this;
    }

    /** Gives up the place; harmless when it has been left before. */
    public void leave() {
      places.remove(this);
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
