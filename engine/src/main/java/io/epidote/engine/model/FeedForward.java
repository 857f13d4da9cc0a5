package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.real;

import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.util.List;

/**
 * A SwiGLU layer's tensors: {@code down(silu(gate(x)) * up(x))}.
 *
 * @param gate tensor name, {@code [intermediate, hidden]}
 * @param up tensor name, {@code [intermediate, hidden]}
 * @param down tensor name, {@code [hidden, intermediate]}
 */
record FeedForward(String gate, String up, String down, int hidden, int intermediate) {
  /** The projections of a module by their usual names. */
  static FeedForward of(String module, int hidden, int intermediate) {
    return new FeedForward(
        module + "gate_proj.weight",
        module + "up_proj.weight",
        module + "down_proj.weight",
        hidden,
        intermediate);
  }

  /** {@code [T, hidden]} to {@code [T, hidden]}. */
  Value write(GraphBuilder into, LinearLayers layers, LinearLayers.Rows x) {
    Value gateUp =
        layers.apply(
            into,
            x,
            new LinearLayers.Matrix(List.of(gate, up), hidden, intermediate, intermediate));
    List<Value> parts =
        into.ops(
            "Split",
            List.of(gateUp, into.integers(intermediate, intermediate)),
            2,
            integer("axis", -1));
    // QuickGelu at alpha 1 is SiLU, in one pass.
    Value silu = into.microsoftOp("QuickGelu", List.of(parts.getFirst()), real("alpha", 1));
    return layers.apply(
        into,
        into.op("Mul", List.of(silu, parts.getLast())),
        LinearLayers.Matrix.of(down, intermediate, hidden));
  }
}
