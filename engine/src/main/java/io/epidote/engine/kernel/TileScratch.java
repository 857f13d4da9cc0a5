package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.LANES;

import java.lang.foreign.Arena;

/** One head of a tile as a worker of {@link TileAttention} reads it. */
final class TileScratch {
  /** Queries that are worked on together: what is read of the scores stays in the cache. */
  static final int QUERIES = 4 * Panels.ROWS;

  private static final long F = Float.BYTES;

  private final int width;
  private final FloatArray keys;
  private final FloatArray values;
  private final FloatArray queries;
  private final FloatArray scores;
  private final FloatArray contexts;
  private final long zeros;

  TileScratch(Arena arena, int width) {
    this.width = width;
    this.keys = new FloatArray(arena);
    this.values = new FloatArray(arena);
    this.queries = new FloatArray(arena);
    this.scores = new FloatArray(arena);
    this.contexts = new FloatArray(arena);
    this.zeros = arena.allocate(Panels.COLUMNS * F, 64).address();
  }

  void reserve(int positions) {
    keys.reserve((long) stride(positions) * width);
    values.reserve((long) positions * contextStride());
    queries.reserve((long) QUERIES * width);
    scores.reserve((long) QUERIES * stride(positions));
    contexts.reserve((long) QUERIES * contextStride());
  }

  /** Floats from one query's scores to the next: whole panels of keys. */
  static int stride(int positions) {
    return (positions + Panels.COLUMNS - 1) / Panels.COLUMNS * Panels.COLUMNS;
  }

  /** Floats from one query's context to the next: whole vectors. */
  int contextStride() {
    return (width + LANES - 1) / LANES * LANES;
  }

  /** Panels of keys, each {@code [width, COLUMNS]}; those beyond the last key are anything. */
  long keys() {
    return keys.address();
  }

  /**
   * Panels of the values' elements, each {@code [positions, COLUMNS]}, the last perhaps half as
   * wide.
   */
  long values() {
    return values.address();
  }

  /** {@code [QUERIES, width]} */
  long queries() {
    return queries.address();
  }

  /** {@code [QUERIES, stride]} */
  long scores() {
    return scores.address();
  }

  /** {@code [QUERIES, contextStride]} */
  long contexts() {
    return contexts.address();
  }

  /** A row of a panel, of zeros. */
  long zeros() {
    return zeros;
  }

  /** Bytes outside the heap. */
  long bytes() {
    return keys.bytes() + values.bytes() + queries.bytes() + scores.bytes() + contexts.bytes();
  }
}
