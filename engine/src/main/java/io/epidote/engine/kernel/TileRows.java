package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.FLOATS;
import static io.epidote.engine.kernel.Memory.LANES;
import static io.epidote.engine.kernel.Memory.load;
import static io.epidote.engine.kernel.Memory.store;

import jdk.incubator.vector.FloatVector;

/**
 * The loops of {@link TileAttention} over a row.
 *
 * <p>They, and those of {@link TowerRows} and {@link Activations}, must not become part of their
 * callers: what a compiler looks into ends after so many operations of one method, wherever that
 * is, and a vector that is handed over there becomes an object. The launcher keeps them apart
 * ({@code CompileCommand=dontinline}).
 */
final class TileRows {
  private static final long F = Float.BYTES;

  private TileRows() {}

  /** Puts a position's key into its panel. */
  static void admitKey(long key, int width, long keys, int position) {
    long column =
        keys
            + position / Panels.COLUMNS * (width * (Panels.COLUMNS * F))
            + position % Panels.COLUMNS * F;
    for (int i = 0; i < width; i++) {
      Memory.put(column + i * (Panels.COLUMNS * F), Memory.get(key + i * F));
    }
  }

  /** Puts a position's value, with its bias, into the panels. */
  static void admitValue(
      long value, long bias, int width, long values, int positions, int position) {
    int vectors = (width + LANES - 1) / LANES;
    for (int i = 0; i < vectors; i++) {
      // An odd last vector is a panel by itself.
      int columns = i + 1 == vectors && i % 2 == 0 ? LANES : Panels.COLUMNS;
      long to =
          values
              + i / 2 * (positions * (Panels.COLUMNS * F))
              + position * (columns * F)
              + i % 2 * (LANES * F);
      int first = i * LANES;
      if (first + LANES <= width) {
        store(load(value + first * F).add(load(bias + first * F)), to);
      } else {
        for (int j = 0; j < LANES; j++) {
          int column = first + j;
          Memory.put(
              to + j * F,
              column < width ? Memory.get(value + column * F) + Memory.get(bias + column * F) : 0);
        }
      }
    }
  }

  /** {@code to = (query + bias) * scale} */
  static void admitQuery(long query, long bias, float scale, int width, long to) {
    int i = 0;
    for (; i + LANES <= width; i += LANES) {
      store(load(query + i * F).add(load(bias + i * F)).mul(scale), to + i * F);
    }
    for (; i < width; i++) {
      Memory.put(to + i * F, (Memory.get(query + i * F) + Memory.get(bias + i * F)) * scale);
    }
  }

  /** Makes what is behind the scores of a row, up to whole panels, less than all of them. */
  static void fill(long row, int count) {
    for (int i = count; i < TileScratch.stride(count); i++) {
      Memory.put(row + i * F, Float.NEGATIVE_INFINITY);
    }
  }

  /** The largest of a row's scores; two at a time, as a comparison waits for the one before it. */
  static float largest(long row, int stride) {
    FloatVector a = load(row);
    FloatVector b = a;
    for (int i = 0; i < stride; i += Panels.COLUMNS) {
      FloatVector x = load(row + i * F);
      FloatVector y = load(row + (i + LANES) * F);
      a = x.blend(a, x.lt(a));
      b = y.blend(b, y.lt(b));
    }
    return Math.max(Memory.max(a), Memory.max(b));
  }

  /**
   * Makes scores into 2 to the score less the largest.
   *
   * @return the sum
   */
  static float powersOfTwo(long row, int stride, float largest) {
    FloatVector sums = FloatVector.zero(FLOATS);
    for (int i = 0; i < stride; i += LANES) {
      FloatVector power = Exponential.ofTwo(load(row + i * F).sub(largest));
      store(power, row + i * F);
      sums = power.add(sums);
    }
    return Memory.sum(sums);
  }
}
