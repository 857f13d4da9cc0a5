package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;
import static java.util.Objects.requireNonNull;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.kernel.RowOperators;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.LongStream;

/**
 * A checkpoint's tensors and linear layers in a graph, at a precision.
 *
 * <p>At INT8 a row of activations is scaled so that its largest magnitude is 127, then multiplied
 * as unsigned bytes around 128; weights have one scale per output. A row's result depends on that
 * row alone.
 */
final class LinearLayers {
  private final Checkpoint checkpoint;
  private final GraphBuilder graph;
  private final Precision precision;
  private final MatrixWeights weights;

  LinearLayers(Checkpoint checkpoint, GraphBuilder graph, Precision precision) {
    this.checkpoint = requireNonNull(checkpoint, "checkpoint is null");
    this.graph = requireNonNull(graph, "graph is null");
    this.precision = requireNonNull(precision, "precision is null");
    this.weights = new MatrixWeights(checkpoint, graph);
  }

  /**
   * Rows that linear layers read, {@code [T, in]}; quantised once for all that read them.
   *
   * @param scales {@code [T, 1]}
   */
  record Rows(Value values, Optional<Value> quantised, Optional<Value> scales) {}

  /** Weights of layers that read the same rows, each {@code [out, in]} in the checkpoint. */
  record Matrix(List<String> names, int in, int... outs) {
    static Matrix of(String name, int in, int out) {
      return new Matrix(List.of(name), in, out);
    }

    int out() {
      return Arrays.stream(outs).sum();
    }

    String name() {
      return names.getFirst() + (names.size() > 1 ? "+" : "");
    }
  }

  /** The weights that the layers are made of. */
  MatrixWeights weights() {
    return weights;
  }

  /** A tensor as it is. */
  Value tensor(String name, long... shape) {
    return graph.weight(
        name,
        ElementType.FLOAT,
        out -> checkpoint.readFloats(name, out.asFloatBuffer(), shape),
        shape);
  }

  /** Biases of the layers of a matrix, {@code [sum(out)]}. */
  Value biases(List<String> names, int... outs) {
    return graph.weight(
        names.getFirst() + (names.size() > 1 ? "+" : ""),
        ElementType.FLOAT,
        bytes -> {
          FloatBuffer destination = bytes.asFloatBuffer();
          int at = 0;
          for (int i = 0; i < outs.length; i++) {
            checkpoint.readFloats(names.get(i), destination.slice(at, outs[i]), outs[i]);
            at += outs[i];
          }
        },
        LongStream.of(Arrays.stream(outs).sum()).toArray());
  }

  /** Whether linear layers read bytes. */
  boolean quantizesRows() {
    return precision == Precision.INT8;
  }

  /** Whether weights are packed for our own products, {@link #packed}. */
  boolean packs() {
    return precision != Precision.INT4;
  }

  /** A matrix as our own products read it. */
  Value packed(Matrix matrix) {
    return weights.packed(quantizesRows(), matrix);
  }

  /** Makes rows ready for linear layers. */
  Rows rows(GraphBuilder into, Value x, int width) {
    if (!quantizesRows()) {
      return new Rows(x, Optional.empty(), Optional.empty());
    }
    List<Value> made =
        into.epidoteOps(
            RowOperators.QUANTIZE_ROWS,
            List.of(x),
            List.of(true, true),
            integer(RowOperators.WIDTH, width));
    return rows(x, made.getFirst(), made.getLast());
  }

  /** Rows as an operator made them; those that it was not asked for are absent. */
  Rows rows(Value values, Value quantised, Value scales) {
    return quantizesRows()
        ? new Rows(values, Optional.of(quantised), Optional.of(scales))
        : new Rows(values, Optional.empty(), Optional.empty());
  }

  /** A linear layer of its own: {@code [T, in]} to {@code [T, out]}. */
  Value apply(GraphBuilder into, Value x, Matrix matrix) {
    return apply(into, rows(into, x, matrix.in()), matrix);
  }

  /** {@code [T, in]} to {@code [T, sum(out)]}. */
  Value apply(GraphBuilder into, Rows rows, Matrix matrix) {
    return switch (precision) {
      case FP32 ->
          into.epidoteOps(
                  RowOperators.FLOAT_LINEAR,
                  List.of(rows.values(), packed(matrix)),
                  List.of(true),
                  integer(RowOperators.WIDTH, matrix.out()))
              .getFirst();
      case INT8 ->
          into.epidoteOps(
                  RowOperators.BYTE_LINEAR,
                  List.of(
                      rows.quantised().orElseThrow(), rows.scales().orElseThrow(), packed(matrix)),
                  List.of(true),
                  integer(RowOperators.WIDTH, matrix.out()))
              .getFirst();
      case INT4 -> {
        MatrixWeights.Int4 blocks = weights.int4(matrix);
        yield into.microsoftOp(
            "MatMulNBits",
            List.of(rows.values(), blocks.nibbles(), blocks.scales()),
            integer("K", matrix.in()),
            integer("N", matrix.out()),
            integer("bits", 4),
            integer("block_size", Int4Blocks.LENGTH),
            integer("accuracy_level", 4));
      }
    };
  }

  /**
   * The embedding table and its use as a head: {@code ids [T]} to {@code [T, hidden]}. At INT8 and
   * INT4 its rows are bytes with a scale each.
   */
  Value embed(String name, int vocabulary, int hidden, Value ids) {
    if (precision == Precision.FP32) {
      return graph.op("Gather", List.of(tensor(name, vocabulary, hidden), ids));
    }
    MatrixWeights.Table table = weights.table(name, vocabulary, hidden);
    Value rows =
        graph.op(
            "Cast", List.of(graph.op("Gather", List.of(table.bytes(), ids))), integer("to", 1));
    return graph.op("Mul", List.of(rows, graph.op("Gather", List.of(table.scales(), ids))));
  }

  /**
   * The head, {@code [R, hidden]} to {@code [R, vocabulary]}.
   *
   * @param name of the head's own tensor or of the embedding table that it is tied to
   */
  Value head(GraphBuilder into, Value x, String name, int vocabulary, int hidden) {
    return apply(into, x, new Matrix(List.of(name), hidden, vocabulary));
  }
}
