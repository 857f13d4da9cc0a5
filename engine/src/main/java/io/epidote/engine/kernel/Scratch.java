package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Rows.TILE;

import java.lang.foreign.Arena;

/** What one worker of attention needs beside its inputs. */
final class Scratch {
  private final FloatArray queries;
  private final FloatArray scores;
  private final FloatArray contexts;
  private float[] sums = new float[0];

  Scratch(Arena arena) {
    this.queries = new FloatArray(arena);
    this.scores = new FloatArray(arena);
    this.contexts = new FloatArray(arena);
  }

  void reserve(int tiles, int keyWidth, int valueWidth, int stride) {
    long rows = (long) tiles * TILE;
    queries.reserve(rows * keyWidth);
    scores.reserve(rows * stride);
    contexts.reserve(rows * valueWidth);
    if (rows > sums.length) {
      sums = new float[(int) rows];
    }
  }

  /** Bytes outside the heap. */
  long bytes() {
    return queries.bytes() + scores.bytes() + contexts.bytes();
  }

  /** {@code [tiles, keyWidth, 4]} */
  long queries() {
    return queries.address();
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
