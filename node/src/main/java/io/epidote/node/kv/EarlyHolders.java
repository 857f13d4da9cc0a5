package io.epidote.node.kv;

import static java.util.Objects.requireNonNull;

import io.epidote.node.engine.Line;
import java.util.Optional;

/**
 * Sequences that hold KV blocks while they wait for another node: a prompt whose tiles are still
 * being encoded, an answer whose prompt is still being prefilled. They make overlap possible, and
 * could make nodes wait for each other in a circle: the other node may be busy with a request that
 * waits for these very blocks.
 *
 * <p>So they are let in only while nobody waits for blocks, and only as many as leave room for the
 * largest sequence there can be. Whoever has all of its input finds, sooner or later, as much of
 * the pool as it may ever need: it never waits for an early holder, which therefore may wait for
 * it. The others wait until all of their input is there, holding nothing. Belongs to the engine
 * thread.
 */
public final class EarlyHolders {
  private final Line line;
  private int held;

  public EarlyHolders(Line line) {
    this.line = requireNonNull(line, "line is null");
  }

  /**
   * Lets a sequence in if it can be.
   *
   * @param blocks the most that it will hold here
   * @param largest blocks of the longest sequence that the model allows
   */
  public Optional<Place> tryEnter(int blocks, int largest) {
    int total = line.total();
    if (!line.isEmpty() || held + blocks + Math.min(largest, total) > total) {
      return Optional.empty();
    }
    held += blocks;
    return Optional.of(new Place(blocks));
  }

  /** A sequence's share. */
  public final class Place {
    private int blocks;

    private Place(int blocks) {
      this.blocks = blocks;
    }

    /** All of its input is here, or it is over; harmless when repeated. */
    public void leave() {
      held -= blocks;
      blocks = 0;
    }
  }
}
