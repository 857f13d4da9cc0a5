package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;

import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.kernel.LayerOperators;
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
    LinearLayers.Matrix projection = projection(name);
    Value qkv = layers.apply(graph, x, projection);
    if (config.attentionBiases().inputs()) {
      qkv = graph.op("Add", List.of(qkv, biases(projection)));
    }
    boolean bytes = layers.quantizesRows();
    List<Value> context =
        graph.epidoteOps(
            PagedAttention.NAME,
            List.of(qkv),
            List.of(!bytes, bytes, bytes),
            integer(PagedAttention.LAYER, layer));
    LinearLayers.Matrix out = outProjection(name);
    Value hidden =
        layers.apply(graph, layers.rows(context.get(0), context.get(1), context.get(2)), out);
    return config.attentionBiases().output()
        ? graph.op("Add", List.of(hidden, biases(out)))
        : hidden;
  }

  /** The half of a layer that it is, with the norm before it, in one node. */
  Residual writeHalf(String name, int layer, Residual at, Value norm) {
    LinearLayers.Matrix projection = projection(name);
    LinearLayers.Matrix out = outProjection(name);
    return at.half(
        graph,
        layers.quantizesRows() ? LayerOperators.BYTE_ATTENTION : LayerOperators.FLOAT_ATTENTION,
        norm,
        List.of(
            layers.packed(projection),
            config.attentionBiases().inputs() ? biases(projection) : GraphBuilder.absent(),
            layers.packed(out),
            config.attentionBiases().output() ? biases(out) : GraphBuilder.absent()),
        layer);
  }

  private LinearLayers.Matrix projection(String name) {
    return projection(config, name);
  }

  /** To queries, keys and values side by side. */
  static LinearLayers.Matrix projection(TextConfig config, String name) {
    int queryWidth = config.heads() * config.headDim();
    int kvWidth = config.kvHeads() * config.headDim();
    return new LinearLayers.Matrix(
        List.of(name + "q_proj.weight", name + "k_proj.weight", name + "v_proj.weight"),
        config.hiddenSize(),
        queryWidth,
        kvWidth,
        kvWidth);
  }

  private LinearLayers.Matrix outProjection(String name) {
    return outProjection(config, name);
  }

  /** Of what attention gives. */
  static LinearLayers.Matrix outProjection(TextConfig config, String name) {
    return LinearLayers.Matrix.of(
        name + "o_proj.weight", config.heads() * config.headDim(), config.hiddenSize());
  }

  private Value biases(LinearLayers.Matrix matrix) {
    return layers.biases(
        matrix.names().stream().map(name -> name.replace(".weight", ".bias")).toList(),
        matrix.outs());
  }
}
