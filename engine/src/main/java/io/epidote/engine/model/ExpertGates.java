package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;

import io.epidote.engine.checkpoint.MoeConfig;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.util.List;

/**
 * Each token's experts and their weights.
 *
 * @param experts {@code [T, k]}, best first
 * @param weights {@code [T, k]}
 */
record ExpertGates(Value experts, Value weights) {
  /**
   * Gates are computed in full precision: which experts run must not hang on a rounding.
   *
   * @param gate tensor name, {@code [experts, hidden]}
   * @param x {@code [T, hidden]}
   */
  static ExpertGates write(
      GraphBuilder graph, LinearLayers layers, MoeConfig moe, String gate, int hidden, Value x) {
    Value logits =
        graph.microsoftOp(
            "FusedMatMul",
            List.of(x, layers.tensor(gate, moe.experts(), hidden)),
            integer("transB", 1));
    Value scores = graph.op("Softmax", List.of(logits), integer("axis", -1));
    List<Value> top =
        graph.ops(
            "TopK", List.of(scores, graph.integers(moe.expertsPerToken())), 2, integer("axis", -1));
    Value weights = top.getFirst();
    if (moe.normalizeTopK()) {
      weights =
          graph.op(
              "Div", List.of(weights, graph.op("ReduceSum", List.of(weights, graph.integers(-1)))));
    }
    if (moe.gateScale() != 1) {
      weights = graph.op("Mul", List.of(weights, graph.real(moe.gateScale())));
    }
    return new ExpertGates(top.getLast(), weights);
  }
}
