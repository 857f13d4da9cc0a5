package io.epidote.engine.model;

import io.epidote.engine.checkpoint.TensorSource;
import io.epidote.engine.kernel.PackedBytes;
import io.epidote.engine.kernel.PackedFloats;
import io.epidote.engine.kernel.PackedMatrix;
import io.epidote.engine.model.LinearLayers.Matrix;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntUnaryOperator;

/** Reads matrices and packs them as our own products read them. */
final class MatrixPacking {
  /** Keeps the scale of a row of zeros from being 0. */
  private static final float SMALLEST_SCALE = 1e-20f;

  private final TensorSource source;
  private final Map<String, IntUnaryOperator> rowOrders = new HashMap<>();

  MatrixPacking(TensorSource source) {
    this.source = source;
  }

  /**
   * Lets the rows of a matrix be read in another order than they stand in.
   *
   * @param order for each row, which is read
   */
  void reorderRows(String name, IntUnaryOperator order) {
    rowOrders.put(name, order);
  }

  FloatBuffer read(String name, int rows, int columns) {
    FloatBuffer floats =
        ByteBuffer.allocateDirect(Math.toIntExact((long) rows * columns * Float.BYTES))
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    source.readFloats(name, floats, rows, columns);
    IntUnaryOperator order = rowOrders.get(name);
    return order == null ? floats : reordered(floats, rows, columns, order);
  }

  private static FloatBuffer reordered(
      FloatBuffer floats, int rows, int columns, IntUnaryOperator source) {
    FloatBuffer result = FloatBuffer.allocate(rows * columns);
    for (int row = 0; row < rows; row++) {
      result.put(row * columns, floats, source.applyAsInt(row) * columns, columns);
    }
    return result;
  }

  /** Packs a matrix of that shape. */
  void pack(Matrix matrix, PackedMatrix packed, MemorySegment destination) {
    int column = 0;
    for (int i = 0; i < matrix.outs().length; i++) {
      FloatBuffer rows = read(matrix.names().get(i), matrix.outs()[i], matrix.in());
      switch (packed) {
        case PackedBytes bytes -> bytes(rows, matrix.outs()[i], column, bytes, destination);
        case PackedFloats floats -> floats(rows, matrix.outs()[i], 1, column, floats, destination);
      }
      column += matrix.outs()[i];
    }
  }

  private static void bytes(
      FloatBuffer rows, int out, int first, PackedBytes packed, MemorySegment destination) {
    int in = packed.in();
    byte[] column = new byte[in];
    for (int o = 0; o < out; o++) {
      FloatBuffer values = rows.slice(o * in, in);
      float scale = scale(values, PackedBytes.RANGE);
      for (int k = 0; k < in; k++) {
        column[k] = (byte) Math.round(values.get(k) / scale);
      }
      packed.put(destination, first + o, column, scale);
    }
  }

  /**
   * Packs some columns of a matrix.
   *
   * @param rows {@code [out, in]}
   * @param factor that all are multiplied by
   * @param first of the columns
   */
  static void floats(
      FloatBuffer rows,
      int out,
      float factor,
      int first,
      PackedFloats packed,
      MemorySegment destination) {
    int in = packed.in();
    forTiles(
        out, in, (o, k) -> packed.put(destination, k, first + o, factor * rows.get(o * in + k)));
  }

  /** The scale at which the largest magnitude becomes {@code range}. */
  static float scale(FloatBuffer values, int range) {
    float largest = 0;
    for (int i = 0; i < values.limit(); i++) {
      largest = Math.max(largest, Math.abs(values.get(i)));
    }
    return Math.max(largest / range, SMALLEST_SCALE);
  }

  /** Takes one element of a matrix. */
  @FunctionalInterface
  interface Element {
    void take(int row, int column);
  }

  /** Visits a matrix in tiles, so that both sides of a transposition stay in the cache. */
  static void forTiles(int rows, int columns, Element element) {
    int tile = 32;
    for (int r = 0; r < rows; r += tile) {
      for (int c = 0; c < columns; c += tile) {
        for (int row = r; row < Math.min(r + tile, rows); row++) {
          for (int column = c; column < Math.min(c + tile, columns); column++) {
            element.take(row, column);
          }
        }
      }
    }
  }
}
