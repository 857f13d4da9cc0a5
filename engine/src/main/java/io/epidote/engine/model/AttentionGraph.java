package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;

import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.kernel.PagedAttention;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.util.List;

/** Writes grouped-query attention: the projections around {@link PagedAttention}. */
final class AttentionGraph {
  private final TextConfig config;
  private final GraphBuilder graph;
  private final LinearLayers layers;

  AttentionGraph(TextConfig config, GraphBuilder graph, LinearLayers layers) {
    this.config = config;
    this.graph = graph;
    this.layers = layers;
  }

  /**
   * Attention of one layer, {@code [T, hidden]} to {@code [T, hidden]}.
   *
   * @param name of the layer's module, for example {@code model.layers.0.self_attn.}
   */
  Value write(String name, int layer, Value x) {
    int queryWidth = config.heads() * config.headDim();
    int kvWidth = config.kvHeads() * config.headDim();
    List<String> projections =
        List.of(name + "q_proj.weight", name + "k_proj.weight", name + "v_proj.weight");
    Value qkv =
        layers.apply(
            graph,
            x,
            new LinearLayers.Matrix(
                projections, config.hiddenSize(), queryWidth, kvWidth, kvWidth));
    if (config.attentionBias()) {
      List<String> biases = projections.stream().map(p -> p.replace(".weight", ".bias")).toList();
      qkv = graph.op("Add", List.of(qkv, layers.biases(biases, queryWidth, kvWidth, kvWidth)));
    }
    Value context =
        graph.epidoteOp(PagedAttention.NAME, List.of(qkv), integer(PagedAttention.LAYER, layer));
    return layers.apply(
        graph,
        context,
        LinearLayers.Matrix.of(name + "o_proj.weight", queryWidth, config.hiddenSize()));
  }
}
