package io.epidote.engine.model;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.stream.LongStream;

/** Brings a checkpoint's tensors into a graph, in the layout that the graph's operators want. */
final class LinearWeights {
  private final Checkpoint checkpoint;
  private final GraphBuilder graph;

  LinearWeights(Checkpoint checkpoint, GraphBuilder graph) {
    this.checkpoint = requireNonNull(checkpoint, "checkpoint is null");
    this.graph = requireNonNull(graph, "graph is null");
  }

  /** A tensor as it is. */
  Value tensor(String name, long... shape) {
    return graph.weight(name, out -> checkpoint.readFloats(name, out, shape), shape);
  }

  /**
   * Linear layers that read the same input, as one {@code [in, sum(out)]} matrix for MatMul. The
   * checkpoint has each as {@code [out, in]}.
   */
  Value columns(List<String> names, int in, int... outs) {
    int total = Arrays.stream(outs).sum();
    return graph.weight(
        names.getFirst() + (names.size() > 1 ? "+" : ""),
        destination -> {
          int column = 0;
          for (int i = 0; i < outs.length; i++) {
            FloatBuffer rows = floats((long) outs[i] * in);
            checkpoint.readFloats(names.get(i), rows, outs[i], in);
            transpose(rows, outs[i], in, destination, total, column);
            column += outs[i];
          }
        },
        in,
        total);
  }

  /** One linear layer as {@code [in, out]}. */
  Value column(String name, int in, int out) {
    return columns(List.of(name), in, out);
  }

  /** Biases of the layers of {@link #columns}, {@code [sum(out)]}. */
  Value biases(List<String> names, int... outs) {
    return graph.weight(
        names.getFirst() + (names.size() > 1 ? "+" : ""),
        destination -> {
          int at = 0;
          for (int i = 0; i < outs.length; i++) {
            checkpoint.readFloats(names.get(i), destination.slice(at, outs[i]), outs[i]);
            at += outs[i];
          }
        },
        LongStream.of(Arrays.stream(outs).sum()).toArray());
  }

  /** Writes {@code rows [out, in]} as columns {@code column...} of {@code [in, total]}. */
  private static void transpose(
      FloatBuffer rows, int out, int in, FloatBuffer destination, int total, int column) {
    // Tiles of 32 keep both sides in the cache.
    int tile = 32;
    for (int o = 0; o < out; o += tile) {
      for (int i = 0; i < in; i += tile) {
        for (int a = o; a < Math.min(o + tile, out); a++) {
          for (int b = i; b < Math.min(i + tile, in); b++) {
            destination.put(b * total + column + a, rows.get(a * in + b));
          }
        }
      }
    }
  }

  private static FloatBuffer floats(long count) {
    return ByteBuffer.allocateDirect(Math.toIntExact(count * Float.BYTES))
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer();
  }
}
