package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;

import io.epidote.engine.checkpoint.Family;
import io.epidote.engine.checkpoint.MoeConfig;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.kernel.LayerOperators;
import io.epidote.engine.kernel.RowOperators;
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

  /** The module of a layer's experts, after the layer's. */
  static String expertsModule(TextConfig config) {
    return config.family() == Family.MIXTRAL ? "block_sparse_moe." : "mlp.";
  }

  /**
   * One of a layer's experts.
   *
   * @param layer the layer's module, for example {@code model.layers.0.}
   */
  static FeedForward expert(TextConfig config, MoeConfig moe, String layer, int number) {
    String name = layer + expertsModule(config) + "experts." + number + ".";
    int hidden = config.hiddenSize();
    int intermediate = moe.expertIntermediateSize();
    return config.family() == Family.MIXTRAL
        ? new FeedForward(
            name + "w1.weight", name + "w3.weight", name + "w2.weight", hidden, intermediate)
        : of(name, hidden, intermediate);
  }

  /** Gate and up side by side. */
  LinearLayers.Matrix gateUp() {
    return new LinearLayers.Matrix(List.of(gate, up), hidden, intermediate, intermediate);
  }

  LinearLayers.Matrix downMatrix() {
    return LinearLayers.Matrix.of(down, intermediate, hidden);
  }

  /** The half of a layer that it is, with the norm before it, in one node. */
  Residual writeHalf(GraphBuilder graph, LinearLayers layers, int layer, Residual at, Value norm) {
    return at.half(
        graph,
        layers.quantizesRows() ? LayerOperators.BYTE_SWI_GLU : LayerOperators.FLOAT_SWI_GLU,
        norm,
        List.of(layers.packed(gateUp()), layers.packed(downMatrix())),
        layer);
  }

  /** {@code [T, hidden]} to {@code [T, hidden]}. */
  Value write(GraphBuilder into, LinearLayers layers, LinearLayers.Rows x) {
    Value gateUp = layers.apply(into, x, gateUp());
    boolean bytes = layers.quantizesRows();
    List<Value> inner =
        into.epidoteOps(
            RowOperators.SWI_GLU,
            List.of(gateUp),
            List.of(!bytes, bytes, bytes),
            integer(RowOperators.WIDTH, intermediate));
    return layers.apply(into, layers.rows(inner.get(0), inner.get(1), inner.get(2)), downMatrix());
  }
}
