package io.epidote.engine.model;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.kernel.PackedBytes;
import io.epidote.engine.kernel.PackedFloats;
import io.epidote.engine.kernel.PackedMatrix;
import io.epidote.engine.model.LinearLayers.Matrix;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.IntUnaryOperator;

/** A checkpoint's matrices as weights of a graph, in the form that a kernel reads. */
final class MatrixWeights {
  /** Keeps the scale of a row of zeros from being 0. */
  private static final float SMALLEST_SCALE = 1e-20f;

  private final Checkpoint checkpoint;
  private final GraphBuilder graph;
  private final Map<String, IntUnaryOperator> rowOrders = new HashMap<>();

  MatrixWeights(Checkpoint checkpoint, GraphBuilder graph) {
    this.checkpoint = checkpoint;
    this.graph = graph;
  }

  /**
   * Lets the rows of a matrix be read in another order than the checkpoint's.
   *
   * @param source the checkpoint's row for each row
   */
  void reorderRows(String name, IntUnaryOperator source) {
    rowOrders.put(name, source);
  }

  /**
   * A part of every head's rows of a matrix {@code [heads * headRows, columns]}.
   *
   * @param first of a head's rows, the first that is taken
   * @param count how many are
   */
  record HeadRows(String name, int heads, int headRows, int columns, int first, int count) {}

  /**
   * Matrices of the heads, at full precision whatever the other layers have.
   *
   * @return {@code [heads, count, columns]}, or transposed {@code [heads, columns, count]}
   */
  Value perHead(HeadRows part, boolean transposed) {
    int heads = part.heads();
    int count = part.count();
    int columns = part.columns();
    return graph.weight(
        part.name() + (transposed ? ".columns." : ".rows.") + part.first(),
        ElementType.FLOAT,
        bytes -> {
          FloatBuffer destination = bytes.asFloatBuffer();
          FloatBuffer all = read(part.name(), heads * part.headRows(), columns);
          for (int head = 0; head < heads; head++) {
            int from = (head * part.headRows() + part.first()) * columns;
            int to = head * count * columns;
            forTiles(
                count,
                columns,
                (row, column) ->
                    destination.put(
                        to + (transposed ? column * count + row : row * columns + column),
                        all.get(from + row * columns + column)));
          }
        },
        transposed ? new long[] {heads, columns, count} : new long[] {heads, count, columns});
  }

  /** A matrix as {@link PackedBytes}. */
  Value packedBytes(Matrix matrix) {
    return packedBytes(matrix.name() + ".packed", List.of(matrix));
  }

  /** Matrices of the same shape as {@link PackedBytes}, one after the other. */
  Value packedBytes(String name, List<Matrix> matrices) {
    PackedBytes packed = new PackedBytes(matrices.getFirst().in(), matrices.getFirst().out());
    return graph.weight(
        name,
        ElementType.UINT8,
        destination -> {
          MemorySegment all = MemorySegment.ofBuffer(destination);
          for (int i = 0; i < matrices.size(); i++) {
            pack(matrices.get(i), packed, all.asSlice(i * packed.bytes(), packed.bytes()));
          }
        },
        (long) matrices.size() * packed.panels(),
        packed.panelBytes());
  }

  private void pack(Matrix matrix, PackedBytes packed, MemorySegment destination) {
    int in = matrix.in();
    byte[] column = new byte[in];
    int at = 0;
    for (int i = 0; i < matrix.outs().length; i++) {
      int out = matrix.outs()[i];
      FloatBuffer rows = read(matrix.names().get(i), out, in);
      for (int o = 0; o < out; o++) {
        FloatBuffer values = rows.slice(o * in, in);
        float scale = scale(values, PackedBytes.RANGE);
        for (int k = 0; k < in; k++) {
          column[k] = (byte) Math.round(values.get(k) / scale);
        }
        packed.put(destination, at++, column, scale);
      }
    }
  }

  /** Rows of bytes, {@code [rows, columns]}, and their scales, {@code [rows, 1]}. */
  record Table(Value bytes, Value scales) {}

  /** A table that rows are taken from. */
  Table table(String name, int rows, int columns) {
    float[] scales = new float[rows];
    Value bytes =
        graph.weight(
            name + ".table",
            ElementType.INT8,
            destination -> {
              FloatBuffer all = read(name, rows, columns);
              for (int row = 0; row < rows; row++) {
                FloatBuffer values = all.slice(row * columns, columns);
                scales[row] = scale(values, Byte.MAX_VALUE);
                for (int i = 0; i < columns; i++) {
                  destination.put(
                      row * columns + i, (byte) Math.round(values.get(i) / scales[row]));
                }
              }
            },
            rows,
            columns);
    Value rowScales =
        graph.weight(
            name + ".table.scales",
            ElementType.FLOAT,
            destination -> destination.asFloatBuffer().put(scales),
            rows,
            1);
    return new Table(bytes, rowScales);
  }

  /** A matrix as {@link PackedFloats}. */
  Value packedFloats(Matrix matrix) {
    PackedFloats packed = new PackedFloats(matrix.in(), matrix.out());
    return graph.weight(
        matrix.name() + ".packed",
        ElementType.FLOAT,
        destination -> {
          FloatBuffer floats = destination.asFloatBuffer();
          int column = 0;
          for (int i = 0; i < matrix.outs().length; i++) {
            int out = matrix.outs()[i];
            FloatBuffer rows = read(matrix.names().get(i), out, matrix.in());
            int first = column;
            forTiles(
                out,
                matrix.in(),
                (o, k) -> packed.put(floats, k, first + o, rows.get(o * matrix.in() + k)));
            column += out;
          }
        },
        packed.panels(),
        matrix.in(),
        PackedMatrix.COLUMNS);
  }

  /** Blocks of four bits, and a scale for each. */
  record Int4(Value nibbles, Value scales) {}

  /** Symmetric blocks of {@link Int4Blocks#LENGTH} along the input, for MatMulNBits. */
  Int4 int4(Matrix matrix) {
    int in = matrix.in();
    int blocks = Int4Blocks.count(in);
    int total = matrix.out();
    float[] scales = new float[total * blocks];
    Value packed =
        graph.weight(
            matrix.name() + ".nibbles",
            ElementType.UINT8,
            destination -> {
              int row = 0;
              for (int i = 0; i < matrix.outs().length; i++) {
                FloatBuffer rows = read(matrix.names().get(i), matrix.outs()[i], in);
                for (int o = 0; o < matrix.outs()[i]; o++, row++) {
                  Int4Blocks.pack(
                      rows.slice(o * in, in),
                      destination,
                      row * blocks * Int4Blocks.BYTES,
                      scales,
                      row * blocks);
                }
              }
            },
            total,
            blocks,
            Int4Blocks.BYTES);
    Value blockScales =
        graph.weight(
            matrix.name() + ".scales",
            ElementType.FLOAT,
            destination -> destination.asFloatBuffer().put(scales),
            (long) total * blocks);
    return new Int4(packed, blockScales);
  }

  private FloatBuffer read(String name, int rows, int columns) {
    FloatBuffer floats =
        ByteBuffer.allocateDirect(Math.toIntExact((long) rows * columns * Float.BYTES))
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    checkpoint.readFloats(name, floats, rows, columns);
    IntUnaryOperator source = rowOrders.get(name);
    return source == null ? floats : reordered(floats, rows, columns, source);
  }

  private static FloatBuffer reordered(
      FloatBuffer floats, int rows, int columns, IntUnaryOperator source) {
    FloatBuffer result = FloatBuffer.allocate(rows * columns);
    for (int row = 0; row < rows; row++) {
      result.put(row * columns, floats, source.applyAsInt(row) * columns, columns);
    }
    return result;
  }

  /** The scale at which the largest magnitude becomes {@code range}. */
  private static float scale(FloatBuffer values, int range) {
    float largest = 0;
    for (int i = 0; i < values.limit(); i++) {
      largest = Math.max(largest, Math.abs(values.get(i)));
    }
    return Math.max(largest / range, SMALLEST_SCALE);
  }

  /** Takes one element of a matrix. */
  @FunctionalInterface
  private interface Element {
    void take(int row, int column);
  }

  /** Visits a matrix in tiles, so that both sides of a transposition stay in the cache. */
  private static void forTiles(int rows, int columns, Element element) {
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
