package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;

import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Which keys a query attends to: new ones up to its own, past ones that are filled, and of both
 * those within the layer's window.
 */
final class AttentionMask {
  /** Added to scores that must not count: its exponential is 0 beside any real score. */
  private static final float MASKED = -1e30f;

  private final GraphBuilder graph;
  private final int context;
  private final Value newRows;
  private final Value pastRuns;
  private final Value pastLengths;
  private final Map<Integer, Value> biases = new HashMap<>();

  /**
   * @param context tokens; a window of as many is none
   * @param newRows {@code [B, ., 1, Q]}
   * @param pastRuns {@code [B, ., N]}
   * @param pastLengths {@code [B, 1]}
   */
  AttentionMask(GraphBuilder graph, int context, Value newRows, Value pastRuns, Value pastLengths) {
    this.graph = graph;
    this.context = context;
    this.newRows = newRows;
    this.pastRuns = pastRuns;
    this.pastLengths = pastLengths;
  }

  /** What to add to scores, {@code [B, 1, 1, Q, Q + N * 16]}; the same value for a same window. */
  Value bias(int window) {
    return biases.computeIfAbsent(window, this::write);
  }

  private Value write(int window) {
    Value places = range(newRows, 1);
    Value query = unsqueeze(places, 1);
    Value slot = range(pastRuns, DecoderShape.BLOCK_TOKENS);
    // [Q, Q] and [B, N * 16] or [B, Q, N * 16], repeated over each other's sequences and queries.
    Value fresh = graph.op("GreaterOrEqual", List.of(query, places));
    Value past = unsqueeze(graph.op("Less", List.of(slot, pastLengths)), 1);
    if (window < context) {
      Value first = graph.op("Sub", List.of(query, graph.integer(window)));
      fresh = graph.op("And", List.of(fresh, graph.op("Less", List.of(first, places))));
      Value firstPosition = graph.op("Add", List.of(first, unsqueeze(pastLengths, 2)));
      past = graph.op("And", List.of(past, graph.op("Less", List.of(firstPosition, slot))));
    }
    Value sequences = dimension(newRows, 0);
    Value queries = dimension(newRows, 3);
    Value one = graph.integers(1);
    return graph.op(
        "Concat",
        List.of(
            graph.op(
                "Expand",
                List.of(unsqueeze(masked(fresh), 0, 1, 2), shape(sequences, one, one, one, one))),
            graph.op(
                "Expand",
                List.of(unsqueeze(masked(past), 1, 2), shape(one, one, one, queries, one)))),
        integer("axis", -1));
  }

  /** How many scores are of new keys and how many of past ones, {@code [Q, N * 16]}. */
  Value lengths() {
    Value past =
        graph.op("Mul", List.of(dimension(pastRuns, 2), graph.integers(DecoderShape.BLOCK_TOKENS)));
    return shape(dimension(newRows, 3), past);
  }

  private Value masked(Value seen) {
    return graph.op("Where", List.of(seen, graph.real(0), graph.real(MASKED)));
  }

  private Value unsqueeze(Value x, long... axes) {
    return graph.op("Unsqueeze", List.of(x, graph.integers(axes)));
  }

  private Value shape(Value... dimensions) {
    return graph.op("Concat", List.of(dimensions), integer("axis", 0));
  }

  /** One dimension's length, {@code [1]}. */
  private Value dimension(Value of, int axis) {
    return graph.op("Shape", List.of(of), integer("start", axis), integer("end", axis + 1));
  }

  /** 0, 1, ... up to the last dimension's length times {@code factor}. */
  private Value range(Value of, int factor) {
    Value length =
        graph.op("Squeeze", List.of(graph.op("Shape", List.of(of), integer("start", -1))));
    Value end = graph.op("Mul", List.of(length, graph.integer(factor)));
    return graph.op("Range", List.of(graph.integer(0), end, graph.integer(1)));
  }
}
