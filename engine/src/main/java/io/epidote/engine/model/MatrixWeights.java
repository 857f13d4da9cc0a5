package io.epidote.engine.model;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.kernel.PackedMatrix;
import io.epidote.engine.model.LinearLayers.Matrix;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.function.IntUnaryOperator;

/** A checkpoint's matrices as weights of a graph, in the form that a kernel reads. */
final class MatrixWeights {
  private final GraphBuilder graph;
  private final MatrixPacking packing;

  MatrixWeights(Checkpoint checkpoint, GraphBuilder graph) {
    this.graph = graph;
    this.packing = new MatrixPacking(checkpoint);
  }

  /**
   * Lets the rows of a matrix be read in another order than the checkpoint's.
   *
   * @param source the checkpoint's row for each row
   */
  void reorderRows(String name, IntUnaryOperator source) {
    packing.reorderRows(name, source);
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
          FloatBuffer all = packing.read(part.name(), heads * part.headRows(), columns);
          for (int head = 0; head < heads; head++) {
            int from = (head * part.headRows() + part.first()) * columns;
            int to = head * count * columns;
            MatrixPacking.forTiles(
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

  /**
   * A matrix as our own products read it.
   *
   * @param bytes whether as {@link io.epidote.engine.kernel.PackedBytes}
   */
  Value packed(boolean bytes, Matrix matrix) {
    return packed(bytes, matrix.name() + ".packed", List.of(matrix));
  }

  /** Matrices of the same shape, one after the other. */
  Value packed(boolean bytes, String name, List<Matrix> matrices) {
    PackedMatrix packed =
        PackedMatrix.of(bytes, matrices.getFirst().in(), matrices.getFirst().out());
    ElementType type = bytes ? ElementType.UINT8 : ElementType.FLOAT;
    return graph.largeWeight(
        name,
        type,
        destination -> {
          for (int i = 0; i < matrices.size(); i++) {
            packing.pack(
                matrices.get(i), packed, destination.asSlice(i * packed.bytes(), packed.bytes()));
          }
        },
        (long) matrices.size() * packed.panels(),
        packed.panelBytes() / type.bytes());
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
              FloatBuffer all = packing.read(name, rows, columns);
              for (int row = 0; row < rows; row++) {
                FloatBuffer values = all.slice(row * columns, columns);
                scales[row] = MatrixPacking.scale(values, Byte.MAX_VALUE);
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
                FloatBuffer rows = packing.read(matrix.names().get(i), matrix.outs()[i], in);
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
}
