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
  Value write(String name, int layer, LinearLayers.Rows x) {
    int queryWidth = config.heads() * config.headDim();
    int kvWidth = config.kvHeads() * config.headDim();
    List<String> projections =
        List.of(name + "q_proj.weight", name + "k_proj.weight", name + "v_proj.weight");
    LinearLayers.Matrix matrix =
        new LinearLayers.Matrix(projections, config.hiddenSize(), queryWidth, kvWidth, kvWidth);
    Value qkv =
        config.attentionBiases().inputs()
            ? biased(layers.apply(graph, x, matrix), projections, matrix.outs())
            : layers.apply(graph, x, matrix);
    boolean bytes = layers.quantizesRows();
    List<Value> context =
        graph.epidoteOps(
            PagedAttention.NAME,
            List.of(qkv),
            List.of(!bytes, bytes, bytes),
            integer(PagedAttention.LAYER, layer));
    Value hidden =
        layers.apply(
            graph,
            layers.rows(context.get(0), context.get(1), context.get(2)),
            LinearLayers.Matrix.of(name + "o_proj.weight", queryWidth, config.hiddenSize()));
    return config.attentionBiases().output()
        ? biased(hidden, List.of(name + "o_proj.weight"), config.hiddenSize())
        : hidden;
  }

  private Value biased(Value product, List<String> weights, int... outs) {
    List<String> biases = weights.stream().map(name -> name.replace(".weight", ".bias")).toList();
    return graph.op("Add", List.of(product, layers.biases(biases, outs)));
  }
}
