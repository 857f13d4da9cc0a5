package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.graph;
import static io.epidote.engine.onnx.Attribute.integer;

import io.epidote.engine.checkpoint.Family;
import io.epidote.engine.checkpoint.MoeConfig;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.kernel.ExpertOperator;
import io.epidote.engine.kernel.PagedAttention;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/**
 * Mixture of experts: one operator of our own ({@link ExpertOperator}), or at INT4 a branch for
 * each expert. Pairs of token and expert are sorted by expert; each expert runs once over its own
 * rows and is skipped when it has none. A token's answer is summed in the order of its own top k,
 * so that it does not depend on the batch.
 */
final class ExpertsGraph {
  private final TextConfig config;
  private final MoeConfig moe;
  private final GraphBuilder graph;
  private final LinearLayers layers;

  ExpertsGraph(TextConfig config, MoeConfig moe, GraphBuilder graph, LinearLayers layers) {
    this.config = config;
    this.moe = moe;
    this.graph = graph;
    this.layers = layers;
  }

  /**
   * The experts of one layer, {@code [T, hidden]} to {@code [T, hidden]}.
   *
   * @param layer the layer's module, for example {@code model.layers.0.}
   * @param index of the layer
   * @param rows with their real values, which the gates read
   */
  Value write(String layer, int index, LinearLayers.Rows rows) {
    Value x = rows.values();
    int hidden = config.hiddenSize();
    String module = layer + FeedForward.expertsModule(config);
    ExpertGates gates = ExpertGates.write(graph, layers, moe, module + "gate.weight", hidden, x);
    List<FeedForward> experts =
        IntStream.range(0, moe.experts())
            .mapToObj(e -> FeedForward.expert(config, moe, layer, e))
            .toList();
    Value mixed =
        layers.packs()
            ? mixPacked(module, index, gates, rows, experts)
            : mix(layer, gates, x, experts);
    return moe.sharedExpertIntermediateSize() > 0
        ? graph.op("Add", List.of(mixed, sharedExpert(module, x, rows)))
        : mixed;
  }

  /** All experts in one operator. */
  private Value mixPacked(
      String module,
      int layer,
      ExpertGates gates,
      LinearLayers.Rows rows,
      List<FeedForward> experts) {
    MatrixWeights weights = layers.weights();
    boolean bytes = layers.quantizesRows();
    return graph
        .epidoteOps(
            bytes ? ExpertOperator.BYTES : ExpertOperator.FLOATS,
            List.of(
                rows.quantised().orElse(rows.values()),
                rows.scales().orElse(GraphBuilder.absent()),
                gates.experts(),
                gates.weights(),
                weights.packed(
                    bytes,
                    module + "experts.gate_up.packed",
                    experts.stream().map(FeedForward::gateUp).toList()),
                weights.packed(
                    bytes,
                    module + "experts.down.packed",
                    experts.stream().map(FeedForward::downMatrix).toList())),
            List.of(true),
            integer(PagedAttention.LAYER, layer))
        .getFirst();
  }

  /** Each expert in a branch that is skipped when it has no rows. */
  private Value mix(String layer, ExpertGates gates, Value x, List<FeedForward> experts) {
    int hidden = config.hiddenSize();
    Pairs pairs = pairs(gates.experts(), x);
    List<Value> results = new ArrayList<>();
    for (int e = 0; e < moe.experts(); e++) {
      results.add(expert(layer + e, e, pairs, experts.get(e)));
    }
    Value byExpert = graph.op("Concat", results, integer("axis", 0));
    // Back to the order of pairs: row order[i] of the result is row i of byExpert.
    Value byPair =
        graph.op(
            "ScatterND",
            List.of(
                byExpert,
                graph.op("Unsqueeze", List.of(pairs.order(), graph.integers(1))),
                byExpert));
    return graph.op(
        "ReduceSum",
        List.of(
            graph.op(
                "Mul",
                List.of(
                    reshape(byPair, -1, moe.expertsPerToken(), hidden),
                    graph.op("Unsqueeze", List.of(gates.weights(), graph.integers(-1))))),
            graph.integers(1)),
        integer("keepdims", 0));
  }

  /**
   * Pairs of token and expert, by expert.
   *
   * @param order which pair, counted by token, stands in each place
   * @param starts where each expert's pairs start
   * @param ends where they end
   * @param rows each pair's row
   */
  private record Pairs(Value order, Value starts, Value ends, Value rows) {}

  private Pairs pairs(Value experts, Value x) {
    // [experts, T * k]: which pair belongs to which expert; NonZero lists the pairs by expert.
    Value ids = graph.integers(LongStream.range(0, moe.experts()).toArray());
    Value member =
        graph.op(
            "Equal",
            List.of(
                graph.op("Unsqueeze", List.of(ids, graph.integers(1))), reshape(experts, 1, -1)));
    Value order =
        graph.op("Gather", List.of(graph.op("NonZero", List.of(member)), graph.integer(1)));
    Value counts =
        graph.op(
            "ReduceSum",
            List.of(graph.op("Cast", List.of(member), integer("to", 7)), graph.integers(1)),
            integer("keepdims", 0));
    Value ends = graph.op("CumSum", List.of(counts, graph.integer(0)));
    Value tokens = graph.op("Div", List.of(order, graph.integer(moe.expertsPerToken())));
    return new Pairs(
        order,
        graph.op("Sub", List.of(ends, counts)),
        ends,
        graph.op("Gather", List.of(x, tokens)));
  }

  private Value expert(String name, int expert, Pairs pairs, FeedForward feedForward) {
    Value start = graph.op("Gather", List.of(pairs.starts(), graph.integers(expert)));
    Value end = graph.op("Gather", List.of(pairs.ends(), graph.integers(expert)));
    GraphBuilder run = graph.branch("expert");
    LinearLayers.Rows own =
        layers.rows(run, slice(run, pairs.rows(), start, end), config.hiddenSize());
    run.output(
        "expert_" + name,
        feedForward.write(run, layers, own),
        ElementType.FLOAT,
        "n",
        config.hiddenSize());
    GraphBuilder skip = graph.branch("no_tokens");
    skip.output(
        "no_tokens_" + name,
        skip.reals(FloatBuffer.allocate(0), 0, config.hiddenSize()),
        ElementType.FLOAT,
        "n",
        config.hiddenSize());
    return graph.op(
        "If",
        List.of(graph.op("Less", List.of(start, end))),
        graph("then_branch", run),
        graph("else_branch", skip));
  }

  private static Value slice(GraphBuilder into, Value x, Value start, Value end) {
    return into.op("Slice", List.of(x, start, end, into.integers(0)));
  }

  private Value sharedExpert(String module, Value x, LinearLayers.Rows rows) {
    boolean deepseek = config.family() == Family.DEEPSEEK_V2;
    Value shared =
        FeedForward.of(
                module + (deepseek ? "shared_experts." : "shared_expert."),
                config.hiddenSize(),
                moe.sharedExpertIntermediateSize())
            .write(graph, layers, rows);
    if (deepseek) {
      return shared;
    }
    Value open =
        graph.op(
            "Sigmoid",
            List.of(
                graph.microsoftOp(
                    "FusedMatMul",
                    List.of(
                        x,
                        layers.tensor(
                            module + "shared_expert_gate.weight", 1, config.hiddenSize())),
                    integer("transB", 1))));
    return graph.op("Mul", List.of(shared, open));
  }

  private Value reshape(Value x, long... shape) {
    return graph.op("Reshape", List.of(x, graph.integers(shape)));
  }
}
