package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.AttentionShape.BLOCK_TOKENS;
import static io.epidote.engine.kernel.Memory.FLOATS;
import static io.epidote.engine.kernel.Memory.LANES;
import static io.epidote.engine.kernel.Memory.broadcast;
import static io.epidote.engine.kernel.Memory.load;
import static io.epidote.engine.kernel.Memory.store;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;

/**
 * The inner loops of attention, on tiles of four rows: eight sums stay in registers while a key or
 * value is read once for all four. Widths are multiples of two vectors. Sums are taken in an order
 * that is fixed by the tokens' positions.
 */
final class Rows {
  /** Rows of a tile. */
  static final int TILE = 4;

  private static final long F = Float.BYTES;

  private Rows() {}

  /** Turns the pairs of one head at a position and multiplies all of it. */
  static void rotate(
      long from, long to, int width, AttentionShape.Rotation rotation, int position, float scale) {
    int half = rotation.width() / 2;
    int start = rotation.start();
    for (int i = 0; i < start; i++) {
      Memory.put(to + i * F, Memory.get(from + i * F) * scale);
    }
    int angles = position * half;
    float[] cosines = rotation.cosines();
    float[] sines = rotation.sines();
    for (int i = 0; i < half; i++) {
      long low = (start + i) * F;
      long high = (start + half + i) * F;
      float a = Memory.get(from + low);
      float b = Memory.get(from + high);
      float cosine = cosines[angles + i];
      float sine = sines[angles + i];
      Memory.put(to + low, (a * cosine - b * sine) * scale);
      Memory.put(to + high, (b * cosine + a * sine) * scale);
    }
    for (int i = start + rotation.width(); i < width; i++) {
      Memory.put(to + i * F, Memory.get(from + i * F) * scale);
    }
  }

  /** Puts a row into a tile {@code [width, 4]}; zeros for address 0. */
  static void interleave(long row, long tile, int place, int width) {
    for (int i = 0; i < width; i++) {
      Memory.put(tile + ((long) i * TILE + place) * F, row == 0 ? 0 : Memory.get(row + i * F));
    }
  }

  /**
   * Products of four queries with a block's keys.
   *
   * @param queries {@code [width, 4]}
   * @param keys {@code [width, 16]}
   * @param scores four rows of 16, {@code stride} floats apart
   */
  static void scores(long queries, long keys, int width, long scores, int stride) {
    for (int column = 0; column < BLOCK_TOKENS; column += 2 * LANES) {
      FloatVector a0 = FloatVector.zero(FLOATS);
      FloatVector a1 = a0;
      FloatVector b0 = a0;
      FloatVector b1 = a0;
      FloatVector c0 = a0;
      FloatVector c1 = a0;
      FloatVector d0 = a0;
      FloatVector d1 = a0;
      long key = keys + column * F;
      long query = queries;
      for (int i = 0; i < width; i++) {
        FloatVector k0 = load(key);
        FloatVector k1 = load(key + LANES * F);
        FloatVector q = broadcast(query);
        a0 = q.fma(k0, a0);
        a1 = q.fma(k1, a1);
        q = broadcast(query + F);
        b0 = q.fma(k0, b0);
        b1 = q.fma(k1, b1);
        q = broadcast(query + 2 * F);
        c0 = q.fma(k0, c0);
        c1 = q.fma(k1, c1);
        q = broadcast(query + 3 * F);
        d0 = q.fma(k0, d0);
        d1 = q.fma(k1, d1);
        key += BLOCK_TOKENS * F;
        query += TILE * F;
      }
      long to = scores + column * F;
      store(a0, to);
      store(a1, to + LANES * F);
      to += stride * F;
      store(b0, to);
      store(b1, to + LANES * F);
      to += stride * F;
      store(c0, to);
      store(c1, to + LANES * F);
      to += stride * F;
      store(d0, to);
      store(d1, to + LANES * F);
    }
  }

  /**
   * Makes scores {@code from} to {@code end} of a row into e to the score less the largest, all
   * others into 0.
   *
   * @param length of the row, a multiple of 16
   * @return the sum
   */
  static float exponentials(long row, int from, int end, int length) {
    int first = from / LANES * LANES;
    FloatVector largest = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
    for (int i = first; i < end; i += LANES) {
      FloatVector scores = load(row + i * F);
      if (i < from || i + LANES > end) {
        scores = outside(i, from, end, scores, Float.NEGATIVE_INFINITY);
      }
      largest = largest.max(scores);
    }
    float maximum = largest.lane(0);
    for (int lane = 1; lane < LANES; lane++) {
      maximum = Math.max(maximum, largest.lane(lane));
    }
    FloatVector sums = FloatVector.zero(FLOATS);
    for (int i = 0; i < first; i++) {
      Memory.put(row + i * F, 0);
    }
    int i = first;
    for (; i < end; i += LANES) {
      FloatVector power = Exponential.of(load(row + i * F).sub(maximum));
      if (i < from || i + LANES > end) {
        power = outside(i, from, end, power, 0);
      }
      store(power, row + i * F);
      sums = sums.add(power);
    }
    for (; i < length; i++) {
      Memory.put(row + i * F, 0);
    }
    float sum = sums.lane(0);
    for (int lane = 1; lane < LANES; lane++) {
      sum += sums.lane(lane);
    }
    return sum;
  }

  private static FloatVector outside(int i, int from, int end, FloatVector vector, float value) {
    VectorMask<Float> inside = FLOATS.indexInRange(i - from, end - from);
    return vector.blend(value, inside.not());
  }

  /**
   * Adds four rows' shares of a block's values.
   *
   * @param shares four rows, {@code stride} floats apart
   * @param values {@code [16, width]}, of which {@code tokens} are read
   * @param contexts {@code [4, width]}
   */
  static void contexts(long shares, int stride, long values, int tokens, int width, long contexts) {
    long rowBytes = width * F;
    for (int column = 0; column < width; column += 2 * LANES) {
      long to = contexts + column * F;
      FloatVector a0 = load(to);
      FloatVector a1 = load(to + LANES * F);
      FloatVector b0 = load(to + rowBytes);
      FloatVector b1 = load(to + rowBytes + LANES * F);
      FloatVector c0 = load(to + 2 * rowBytes);
      FloatVector c1 = load(to + 2 * rowBytes + LANES * F);
      FloatVector d0 = load(to + 3 * rowBytes);
      FloatVector d1 = load(to + 3 * rowBytes + LANES * F);
      long value = values + column * F;
      long share = shares;
      for (int token = 0; token < tokens; token++) {
        FloatVector v0 = load(value);
        FloatVector v1 = load(value + LANES * F);
        FloatVector p = broadcast(share);
        a0 = p.fma(v0, a0);
        a1 = p.fma(v1, a1);
        p = broadcast(share + stride * F);
        b0 = p.fma(v0, b0);
        b1 = p.fma(v1, b1);
        p = broadcast(share + 2 * stride * F);
        c0 = p.fma(v0, c0);
        c1 = p.fma(v1, c1);
        p = broadcast(share + 3 * stride * F);
        d0 = p.fma(v0, d0);
        d1 = p.fma(v1, d1);
        value += rowBytes;
        share += F;
      }
      store(a0, to);
      store(a1, to + LANES * F);
      store(b0, to + rowBytes);
      store(b1, to + rowBytes + LANES * F);
      store(c0, to + 2 * rowBytes);
      store(c1, to + 2 * rowBytes + LANES * F);
      store(d0, to + 3 * rowBytes);
      store(d1, to + 3 * rowBytes + LANES * F);
    }
  }

  static void scale(long from, long to, float factor, int width) {
    for (int i = 0; i < width; i += LANES) {
      store(load(from + i * F).mul(factor), to + i * F);
    }
  }
}
