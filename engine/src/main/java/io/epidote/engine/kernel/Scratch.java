package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Rows.TILE;

import java.lang.foreign.Arena;

/** What one worker of attention needs beside its inputs; grows to the largest unit it has seen. */
final class Scratch {
  private static final int ALIGNMENT = 64;

  private final Arena arena;
  private long queryFloats;
  private long scoreFloats;
  private long contextFloats;
  private long queries;
  private long scores;
  private long contexts;
  private float[] sums = new float[0];

  Scratch(Arena arena) {
    this.arena = arena;
  }

  void reserve(int tiles, int keyWidth, int valueWidth, int stride) {
    long rows = (long) tiles * TILE;
    if (rows * keyWidth > queryFloats) {
      queryFloats = rows * keyWidth;
      queries = allocate(queryFloats);
    }
    if (rows * stride > scoreFloats) {
      // Contexts grow token by token; half as much again keeps what is outgrown small.
      scoreFloats = rows * stride * 3 / 2;
      scores = allocate(scoreFloats);
    }
    if (rows * valueWidth > contextFloats) {
      contextFloats = rows * valueWidth;
      contexts = allocate(contextFloats);
    }
    if (rows > sums.length) {
      sums = new float[(int) rows];
    }
  }

  private long allocate(long floats) {
    return arena.allocate(floats * Float.BYTES, ALIGNMENT).address();
  }

  /** {@code [tiles, keyWidth, 4]} */
  long queries() {
    return queries;
  }

  /** {@code [tiles * 4, stride]} */
  long scores() {
    return scores;
  }

  /** {@code [tiles * 4, valueWidth]} */
  long contexts() {
    return contexts;
  }

  /** By row. */
  float[] sums() {
    return sums;
  }
}
