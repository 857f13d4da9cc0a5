package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Rows.TILE;

import java.lang.foreign.Arena;

/** What one worker of attention needs beside its inputs. */
final class Scratch {
  private final FloatArray scores;
  private final FloatArray contexts;
  private float[] sums = new float[0];

  Scratch(Arena arena) {
    this.scores = new FloatArray(arena);
    this.contexts = new FloatArray(arena);
  }

  void reserve(int tiles, int valueWidth, int stride) {
    long rows = (long) tiles * TILE;
    scores.reserve(rows * stride);
    contexts.reserve(rows * valueWidth);
    if (rows > sums.length) {
      sums = new float[(int) rows];
    }
  }

  /** Bytes outside the heap. */
  long bytes() {
    return scores.bytes() + contexts.bytes();
  }

  /** {@code [tiles * 4, stride]} */
  long scores() {
    return scores.address();
  }

  /** {@code [tiles * 4, valueWidth]} */
  long contexts() {
    return contexts.address();
  }

  /** By row. */
  float[] sums() {
    return sums;
  }
}
