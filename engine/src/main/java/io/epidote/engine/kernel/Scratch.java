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

  void reserve(int rows, int keyWidth, int valueWidth, int stride) {
    queries.reserve((long) rows * keyWidth);
    scores.reserve((long) (rows + TILE) * stride);
    contexts.reserve((long) (rows + TILE) * valueWidth);
    if (rows > sums.length) {
      sums = new float[rows];
    }
  }

  /** Bytes outside the heap. */
  long bytes() {
    return queries.bytes() + scores.bytes() + contexts.bytes();
  }

  /** {@code [rows, keyWidth]} */
  long queries() {
    return queries.address();
  }

  /** {@code [rows, stride]}, with room for a tile more. */
  long scores() {
    return scores.address();
  }

  /** {@code [rows, valueWidth]}, with room for a tile more. */
  long contexts() {
    return contexts.address();
  }

  /** By row. */
  float[] sums() {
    return sums;
  }
}
