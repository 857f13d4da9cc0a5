package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;

import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.util.List;

/**
 * Grouped-query attention over paged keys and values.
 *
 * <p>Linear layers and RoPE run on packed tokens. Queries, new keys and new values are then
 * gathered, head by head, into {@code [B, kvHeads, G, Q, headDim]}; past ones are gathered from the
 * layer's pool into the same form, which a block's layout makes a plain copy. Scores against new
 * and past keys are computed apart and meet in one softmax, so that no keys or values are
 * concatenated; new ones come first, so that how far the batch's longest past pads does not move
 * them.
 */
final class AttentionGraph {
  private final TextConfig config;
  private final GraphBuilder graph;
  private final LinearLayers layers;
  private final Step step;

  /**
   * What every layer's attention needs of a step. Indices count rows of {@code headDim} floats.
   *
   * @param positions {@code [1, T]}
   * @param queries {@code [B, kvHeads, G, Q]}: rows of the rotated queries
   * @param fresh {@code [B, kvHeads, 1, Q]}: rows of the new keys and of the new values
   * @param context {@code [T, heads]}: rows of the attended values
   * @param pastKeys {@code [B, kvHeads, N]}: runs of 16 rows in a layer's pool
   * @param pastValues likewise
   * @param mask what a query attends to
   * @param lengths {@code [Q, N * 16]}
   */
  private record Step(
      Value positions,
      Value queries,
      Value fresh,
      Value context,
      Value pastKeys,
      Value pastValues,
      AttentionMask mask,
      Value lengths,
      Value cosines,
      Value sines) {}

  /** Declares the inputs that attention reads of a step. */
  AttentionGraph(TextConfig config, GraphBuilder graph, LinearLayers layers) {
    this.config = config;
    this.graph = graph;
    this.layers = layers;
    int kvHeads = config.kvHeads();
    int group = config.heads() / kvHeads;
    Value positions = graph.input("positions", ElementType.INT64, 1, "T");
    Value queries = graph.input("query_rows", ElementType.INT64, "B", kvHeads, group, "Q");
    Value fresh = graph.input("new_rows", ElementType.INT64, "B", kvHeads, 1, "Q");
    Value context = graph.input("context_rows", ElementType.INT64, "T", config.heads());
    Value pastKeys = graph.input("past_key_runs", ElementType.INT64, "B", kvHeads, "N");
    Value pastValues = graph.input("past_value_runs", ElementType.INT64, "B", kvHeads, "N");
    Value pastLengths = graph.input("past_lengths", ElementType.INT64, "B", 1);
    AttentionMask mask =
        new AttentionMask(graph, config.contextTokens(), fresh, pastKeys, pastLengths);
    RotaryTable table = new RotaryTable(config.rope(), config.headDim());
    int known = config.contextTokens();
    this.step =
        new Step(
            positions,
            queries,
            fresh,
            context,
            pastKeys,
            pastValues,
            mask,
            mask.lengths(),
            graph.weight(
                "cosines",
                ElementType.FLOAT,
                out -> table.cosines(out, known),
                known,
                table.pairs()),
            graph.weight(
                "sines", ElementType.FLOAT, out -> table.sines(out, known), known, table.pairs()));
  }

  /**
   * What attention made of a layer's tokens.
   *
   * @param hidden {@code [T, hidden]}
   * @param keys {@code [1, T, kvHeads * headDim]}, rotated
   * @param values {@code [1, T, kvHeads * headDim]}
   */
  record Result(Value hidden, Value keys, Value values) {}

  /**
   * Attention of one layer.
   *
   * @param name of the layer's module, for example {@code model.layers.0.self_attn.}
   * @param window how many of the latest tokens a token attends to
   * @param x {@code [T, hidden]}
   * @param pool the layer's keys and values, {@code [blocks * 2 * kvHeads, 16 * headDim]}
   */
  Result write(String name, int window, Value x, Value pool) {
    int headDim = config.headDim();
    int kvHeads = config.kvHeads();
    int queryWidth = config.heads() * headDim;
    int kvWidth = kvHeads * headDim;
    List<String> projections =
        List.of(name + "q_proj.weight", name + "k_proj.weight", name + "v_proj.weight");
    Value qkv =
        layers.apply(
            graph,
            x,
            new LinearLayers.Matrix(
                projections, config.hiddenSize(), queryWidth, kvWidth, kvWidth));
    if (config.attentionBiases().inputs()) {
      List<String> biases = projections.stream().map(p -> p.replace(".weight", ".bias")).toList();
      qkv = graph.op("Add", List.of(qkv, layers.biases(biases, queryWidth, kvWidth, kvWidth)));
    }
    qkv = reshape(qkv, 1, -1, queryWidth + 2 * kvWidth);
    List<Value> parts = split(qkv, queryWidth + kvWidth, kvWidth);
    List<Value> rotated =
        split(
            graph.microsoftOp(
                "RotaryEmbedding",
                List.of(parts.getFirst(), step.positions(), step.cosines(), step.sines()),
                integer("interleaved", 0)),
            queryWidth,
            kvWidth);
    Value keys = rotated.getLast();
    Value values = parts.getLast();
    // A query of its own for each head, [B, kvHeads, G, Q, headDim]: at Q = 1 the products below
    // are of vectors, for which the kernels need not repack the keys and values.
    Value queries = gather(rotated.getFirst(), step.queries());
    queries = graph.op("Mul", List.of(queries, graph.real((float) (1 / Math.sqrt(headDim)))));
    Value newKeys = gather(keys, step.fresh());
    Value newValues = gather(values, step.fresh());
    Value pastKeys = past(pool, step.pastKeys());
    Value pastValues = past(pool, step.pastValues());

    Value scores =
        graph.op(
            "Concat",
            List.of(scores(queries, newKeys), scores(queries, pastKeys)),
            integer("axis", -1));
    Value probabilities =
        graph.op(
            "Softmax",
            List.of(graph.op("Add", List.of(scores, step.mask().bias(window)))),
            integer("axis", -1));
    List<Value> shares =
        graph.ops("Split", List.of(probabilities, step.lengths()), 2, integer("axis", -1));
    Value context =
        graph.op(
            "Add",
            List.of(
                graph.op("MatMul", List.of(shares.getFirst(), newValues)),
                graph.op("MatMul", List.of(shares.getLast(), pastValues))));
    Value hidden =
        layers.apply(
            graph,
            reshape(gather(context, step.context()), -1, queryWidth),
            LinearLayers.Matrix.of(name + "o_proj.weight", queryWidth, config.hiddenSize()));
    if (config.attentionBiases().output()) {
      hidden =
          graph.op(
              "Add", List.of(hidden, layers.tensor(name + "o_proj.bias", config.hiddenSize())));
    }
    return new Result(hidden, keys, values);
  }

  private List<Value> split(Value x, int first, int second) {
    return graph.ops("Split", List.of(x, graph.integers(first, second)), 2, integer("axis", -1));
  }

  /** Rows of {@code headDim}. */
  private Value gather(Value x, Value rows) {
    return graph.op("Gather", List.of(reshape(x, -1, config.headDim()), rows));
  }

  private Value scores(Value queries, Value keys) {
    return graph.microsoftOp("FusedMatMul", List.of(queries, keys), integer("transB", 1));
  }

  /** {@code [B, kvHeads, 1, N * 16, headDim]}. */
  private Value past(Value pool, Value runs) {
    return reshape(graph.op("Gather", List.of(pool, runs)), 0, 0, 1, -1, config.headDim());
  }

  private Value reshape(Value x, long... shape) {
    return graph.op("Reshape", List.of(x, graph.integers(shape)));
  }
}
