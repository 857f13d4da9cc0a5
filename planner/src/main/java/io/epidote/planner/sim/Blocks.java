package io.epidote.planner.sim;

import io.epidote.node.engine.Line;
import java.util.function.LongSupplier;

/** A pool of which only the number of free blocks is known, and the line before it. */
final class Blocks {
  private final int total;
  private final Line line;
  private int free;

  Blocks(int total, LongSupplier clock) {
    this.total = total;
    this.free = total;
    this.line = new Line(total, clock);
  }

  Line line() {
    return line;
  }

  int total() {
    return total;
  }

  int free() {
    return free;
  }

  int used() {
    return total - free;
  }

  boolean tryTake(int blocks) {
    if (blocks > free) {
      return false;
    }
    free -= blocks;
    return true;
  }

  void give(int blocks) {
    free += blocks;
    if (free > total) {
      throw new IllegalStateException("%d of %d blocks are free".formatted(free, total));
    }
  }
}
