package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;
import static java.util.Objects.requireNonNull;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.kernel.RowOperators;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.IntUnaryOperator;
import java.util.stream.LongStream;

/**
 * A checkpoint's tensors and linear layers in a graph, at a precision.
 *
 * <p>At INT8 a row of activations is scaled so that its largest magnitude is 127, then multiplied
 * as unsigned bytes around 128; weights are kept within 63 at one scale per output, because the
 * AVX2 kernel adds pairs of products in 16 bits and saturates beyond that. A row's result depends
 * on that row alone.
 */
final class LinearLayers {
  /** What one weight byte may hold: 2 * 255 * 63 still fits the kernel's 16 bits. */
  private static final int WEIGHT_RANGE = 63;

  private static final int ACTIVATION_RANGE = 127;
  private static final int ACTIVATION_ZERO = 128;

  /** Keeps the scale of a row of zeros from being 0. */
  private static final float SMALLEST_SCALE = 1e-20f;

  private final Checkpoint checkpoint;
  private final GraphBuilder graph;
  private final Precision precision;
  private final Map<String, IntUnaryOperator> rowOrders = new HashMap<>();

  LinearLayers(Checkpoint checkpoint, GraphBuilder graph, Precision precision) {
    this.checkpoint = requireNonNull(checkpoint, "checkpoint is null");
    this.graph = requireNonNull(graph, "graph is null");
    this.precision = requireNonNull(precision, "precision is null");
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

  /**
   * Lets the rows of a matrix be read in another order than the checkpoint's.
   *
   * @param source the checkpoint's row for each row
   */
  void reorderRows(String name, IntUnaryOperator source) {
    rowOrders.put(name, source);
  }

  /** A tensor as it is. */
  Value tensor(String name, long... shape) {
    return graph.weight(
        name,
        ElementType.FLOAT,
        out -> checkpoint.readFloats(name, out.asFloatBuffer(), shape),
        shape);
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

  /**
   * What a linear layer made of rows, {@code [T, out]}, and what each is still to be multiplied by.
   *
   * @param factors {@code [T, 1]}, or absent
   */
  record Product(Value values, Value factors) {}

  /** A linear layer of its own: {@code [T, in]} to {@code [T, out]}. */
  Value apply(GraphBuilder into, Value x, Matrix matrix) {
    return apply(into, rows(into, x, matrix.in()), matrix);
  }

  /** {@code [T, in]} to {@code [T, sum(out)]}. */
  Value apply(GraphBuilder into, Rows rows, Matrix matrix) {
    return scaled(into, multiply(into, rows, matrix));
  }

  /** The product multiplied by its factors. */
  Value scaled(GraphBuilder into, Product product) {
    return product.factors().equals(GraphBuilder.absent())
        ? product.values()
        : into.op("Mul", List.of(product.values(), product.factors()));
  }

  /** As {@link #apply}, for an operator that multiplies by the factors itself. */
  Product multiply(GraphBuilder into, Rows rows, Matrix matrix) {
    return switch (precision) {
      case FP32 ->
          new Product(
              into.op("MatMul", List.of(rows.values(), columns(matrix))), GraphBuilder.absent());
      case INT8 -> {
        Int8Weights weights = int8(matrix);
        Value product =
            into.microsoftOp(
                "MatMulIntegerToFloat",
                List.of(
                    rows.quantised().orElseThrow(),
                    weights.bytes(),
                    into.real(1f / ACTIVATION_RANGE),
                    weights.scales(),
                    into.unsignedByte(ACTIVATION_ZERO)));
        yield new Product(product, rows.scales().orElseThrow());
      }
      case INT4 -> new Product(int4(into, rows.values(), matrix), GraphBuilder.absent());
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
    float[] scales = new float[vocabulary];
    Value bytes =
        graph.weight(
            name + ".table",
            ElementType.INT8,
            destination -> {
              FloatBuffer rows = read(name, vocabulary, hidden);
              for (int row = 0; row < vocabulary; row++) {
                FloatBuffer values = rows.slice(row * hidden, hidden);
                scales[row] = scale(values, Byte.MAX_VALUE);
                for (int i = 0; i < hidden; i++) {
                  destination.put(row * hidden + i, (byte) Math.round(values.get(i) / scales[row]));
                }
              }
            },
            vocabulary,
            hidden);
    Value rowScales =
        graph.weight(
            name + ".table.scales",
            ElementType.FLOAT,
            destination -> destination.asFloatBuffer().put(scales),
            vocabulary,
            1);
    Value rows =
        graph.op("Cast", List.of(graph.op("Gather", List.of(bytes, ids))), integer("to", 1));
    return graph.op("Mul", List.of(rows, graph.op("Gather", List.of(rowScales, ids))));
  }

  /**
   * The head, {@code [R, hidden]} to {@code [R, vocabulary]}.
   *
   * @param name of the head's own tensor or of the embedding table that it is tied to
   */
  Value head(GraphBuilder into, Value x, String name, int vocabulary, int hidden, boolean tied) {
    if (precision != Precision.FP32) {
      return apply(into, x, new Matrix(List.of(name), hidden, vocabulary));
    }
    // Gemm reads the [V, H] table as it is: a transposed second copy would double a tied model's
    // head.
    Value table = tied ? new Value(name) : tensor(name, vocabulary, hidden);
    return into.op("Gemm", List.of(x, table), integer("transB", 1));
  }

  /** One {@code [in, sum(out)]} matrix for MatMul. */
  private Value columns(Matrix matrix) {
    int total = matrix.out();
    return graph.weight(
        matrix.name(),
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
                (o, k) -> floats.put(k * total + first + o, rows.get(o * matrix.in() + k)));
            column += out;
          }
        },
        matrix.in(),
        total);
  }

  /** {@code [in, sum(out)]} bytes and {@code [sum(out)]} scales. */
  private record Int8Weights(Value bytes, Value scales) {}

  private Int8Weights int8(Matrix matrix) {
    int in = matrix.in();
    int total = matrix.out();
    float[] scales = new float[total];
    Value bytes =
        graph.weight(
            matrix.name() + ".bytes",
            ElementType.INT8,
            destination -> {
              int column = 0;
              for (int i = 0; i < matrix.outs().length; i++) {
                int out = matrix.outs()[i];
                FloatBuffer rows = read(matrix.names().get(i), out, in);
                int first = column;
                for (int o = 0; o < out; o++) {
                  scales[first + o] = scale(rows.slice(o * in, in), WEIGHT_RANGE);
                }
                forTiles(
                    out,
                    in,
                    (o, k) ->
                        destination.put(
                            k * total + first + o,
                            (byte) Math.round(rows.get(o * in + k) / scales[first + o])));
                column += out;
              }
            },
            in,
            total);
    Value columnScales =
        graph.weight(
            matrix.name() + ".scales",
            ElementType.FLOAT,
            destination -> destination.asFloatBuffer().put(scales),
            total);
    return new Int8Weights(bytes, columnScales);
  }

  /** Symmetric blocks of {@link Int4Blocks#LENGTH} along the input, for MatMulNBits. */
  private Value int4(GraphBuilder into, Value x, Matrix matrix) {
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
    return into.microsoftOp(
        "MatMulNBits",
        List.of(x, packed, blockScales),
        integer("K", in),
        integer("N", total),
        integer("bits", 4),
        integer("block_size", Int4Blocks.LENGTH),
        integer("accuracy_level", 4));
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
