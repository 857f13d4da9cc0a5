package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.Memory.FLOATS;
import static io.epidote.engine.kernel.Memory.LANES;
import static io.epidote.engine.kernel.Memory.broadcast;
import static io.epidote.engine.kernel.Memory.load;
import static io.epidote.engine.kernel.Memory.store;

import jdk.incubator.vector.FloatVector;

/**
 * The inner loops of attention with the Vector API. The products are on tiles of four rows (see
 * {@link FloatProducts}): eight sums stay in registers while a key or value is read once for all
 * four.
 *
 * <p>How these loops are written keeps vectors in registers: a vector becomes an object on the heap
 * (and the loop ten times slower) when a compiled method hands it to another, when two branches
 * meet, and when a method is called on a vector that a loop carries. So a carried vector is only
 * ever an argument. {@code KernelAllocationTest} holds this.
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
    int end = start + rotation.width();
    scale(from, to, scale, start);
    int angles = position * half;
    float[] cosines = rotation.cosines();
    float[] sines = rotation.sines();
    long low = start * F;
    long high = (start + half) * F;
    int i = 0;
    for (; i + LANES <= half; i += LANES) {
      FloatVector a = load(from + low + i * F);
      FloatVector b = load(from + high + i * F);
      FloatVector cosine = FloatVector.fromArray(FLOATS, cosines, angles + i);
      FloatVector sine = FloatVector.fromArray(FLOATS, sines, angles + i);
      store(a.mul(cosine).sub(b.mul(sine)).mul(scale), to + low + i * F);
      store(b.mul(cosine).add(a.mul(sine)).mul(scale), to + high + i * F);
    }
    for (; i < half; i++) {
      float a = Memory.get(from + low + i * F);
      float b = Memory.get(from + high + i * F);
      float cosine = cosines[angles + i];
      float sine = sines[angles + i];
      Memory.put(to + low + i * F, (a * cosine - b * sine) * scale);
      Memory.put(to + high + i * F, (b * cosine + a * sine) * scale);
    }
    scale(from + end * F, to + end * F, scale, width - end);
  }

  /**
   * Products of four queries with two vectors of keys, which may be of different blocks.
   *
   * @param q0 the first query, {@code [width]}
   * @param k0 keys of as many tokens as a vector has lanes, {@code [width, 16]}
   * @param k1 likewise
   * @param s0 where the products with {@code k0} go: four rows, {@code stride} floats apart
   * @param s1 likewise for {@code k1}
   */
  static void scores(
      long q0,
      long q1,
      long q2,
      long q3,
      long k0,
      long k1,
      int width,
      long s0,
      long s1,
      int stride) {
    FloatVector a0 = FloatVector.zero(FLOATS);
    FloatVector a1 = a0;
    FloatVector b0 = a0;
    FloatVector b1 = a0;
    FloatVector c0 = a0;
    FloatVector c1 = a0;
    FloatVector d0 = a0;
    FloatVector d1 = a0;
    for (int i = 0; i < width; i++) {
      long key = i * (AttentionShape.BLOCK_TOKENS * F);
      long query = i * F;
      FloatVector x = load(k0 + key);
      FloatVector y = load(k1 + key);
      FloatVector q = broadcast(q0 + query);
      a0 = q.fma(x, a0);
      a1 = q.fma(y, a1);
      q = broadcast(q1 + query);
      b0 = q.fma(x, b0);
      b1 = q.fma(y, b1);
      q = broadcast(q2 + query);
      c0 = q.fma(x, c0);
      c1 = q.fma(y, c1);
      q = broadcast(q3 + query);
      d0 = q.fma(x, d0);
      d1 = q.fma(y, d1);
    }
    long row = stride * F;
    store(a0, s0);
    store(a1, s1);
    store(b0, s0 + row);
    store(b1, s1 + row);
    store(c0, s0 + 2 * row);
    store(c1, s1 + 2 * row);
    store(d0, s0 + 3 * row);
    store(d1, s1 + 3 * row);
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
    int last = (end + LANES - 1) / LANES * LANES;
    // What stands outside may be anything, NaN too.
    fill(row, first, from, Float.NEGATIVE_INFINITY);
    fill(row, end, last, Float.NEGATIVE_INFINITY);
    float sum = powers(row, first, last, largest(row, first, last));
    // The few from outside were the smallest normal numbers at most; one inside was 1.
    fill(row, 0, from, 0);
    fill(row, end, length, 0);
    return sum;
  }

  private static float largest(long row, int first, int last) {
    FloatVector largest = load(row + first * F);
    for (int i = first + LANES; i < last; i += LANES) {
      FloatVector scores = load(row + i * F);
      largest = scores.blend(largest, scores.lt(largest));
    }
    return Memory.max(largest);
  }

  private static float powers(long row, int first, int last, float maximum) {
    FloatVector sums = FloatVector.zero(FLOATS);
    for (int i = first; i < last; i += LANES) {
      FloatVector power = Exponential.of(load(row + i * F).sub(maximum));
      store(power, row + i * F);
      sums = power.add(sums);
    }
    return Memory.sum(sums);
  }

  private static void fill(long row, int from, int end, float value) {
    for (int i = from; i < end; i++) {
      Memory.put(row + i * F, value);
    }
  }

  /**
   * Adds four rows' shares of a block's values.
   *
   * @param shares four rows, {@code stride} floats apart
   * @param values {@code [tokens, columns]}
   * @param rowBytes from one row of values, and of contexts, to the next
   * @param contexts {@code [4, columns]}
   */
  static void contexts(
      long shares, int stride, long values, int tokens, long rowBytes, int columns, long contexts) {
    long share1 = shares + stride * F;
    long share2 = share1 + stride * F;
    long share3 = share2 + stride * F;
    int column = 0;
    for (; column + 2 * LANES <= columns; column += 2 * LANES) {
      long to = contexts + column * F;
      FloatVector a0 = load(to);
      FloatVector a1 = load(to + LANES * F);
      FloatVector b0 = load(to + rowBytes);
      FloatVector b1 = load(to + rowBytes + LANES * F);
      FloatVector c0 = load(to + 2 * rowBytes);
      FloatVector c1 = load(to + 2 * rowBytes + LANES * F);
      FloatVector d0 = load(to + 3 * rowBytes);
      FloatVector d1 = load(to + 3 * rowBytes + LANES * F);
      for (int token = 0; token < tokens; token++) {
        long value = values + column * F + token * rowBytes;
        long share = token * F;
        FloatVector x = load(value);
        FloatVector y = load(value + LANES * F);
        FloatVector p = broadcast(shares + share);
        a0 = p.fma(x, a0);
        a1 = p.fma(y, a1);
        p = broadcast(share1 + share);
        b0 = p.fma(x, b0);
        b1 = p.fma(y, b1);
        p = broadcast(share2 + share);
        c0 = p.fma(x, c0);
        c1 = p.fma(y, c1);
        p = broadcast(share3 + share);
        d0 = p.fma(x, d0);
        d1 = p.fma(y, d1);
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
    if (column < columns) {
      narrowContexts(TILE, shares, stride, values, tokens, rowBytes, columns, contexts, column);
    }
  }

  /** As {@link #contexts} from a column on, one vector at a time, and what is less than one. */
  static void narrowContexts(
      int rows,
      long shares,
      int stride,
      long values,
      int tokens,
      long rowBytes,
      int columns,
      long contexts,
      int first) {
    int column = first;
    for (; column + LANES <= columns; column += LANES) {
      for (int row = 0; row < rows; row++) {
        long to = contexts + column * F + row * rowBytes;
        FloatVector sum = load(to);
        for (int token = 0; token < tokens; token++) {
          FloatVector share = broadcast(shares + row * (stride * F) + token * F);
          sum = share.fma(load(values + column * F + token * rowBytes), sum);
        }
        store(sum, to);
      }
    }
    for (; column < columns; column++) {
      for (int row = 0; row < rows; row++) {
        long to = contexts + column * F + row * rowBytes;
        float sum = Memory.get(to);
        for (int token = 0; token < tokens; token++) {
          float value = Memory.get(values + column * F + token * rowBytes);
          sum = Math.fma(Memory.get(shares + row * (stride * F) + token * F), value, sum);
        }
        Memory.put(to, sum);
      }
    }
  }

  /** {@code to += from * factor}, or without what was there when it is the first. */
  static void addScaled(long from, float factor, boolean first, long to, int width) {
    if (first) {
      scale(from, to, factor, width);
      return;
    }
    int i = 0;
    for (; i + LANES <= width; i += LANES) {
      store(load(from + i * F).mul(factor).add(load(to + i * F)), to + i * F);
    }
    for (; i < width; i++) {
      Memory.put(to + i * F, Memory.get(from + i * F) * factor + Memory.get(to + i * F));
    }
  }

  static void scale(long from, long to, float factor, int width) {
    int i = 0;
    for (; i + LANES <= width; i += LANES) {
      store(load(from + i * F).mul(factor), to + i * F);
    }
    for (; i < width; i++) {
      Memory.put(to + i * F, Memory.get(from + i * F) * factor);
    }
  }
}
