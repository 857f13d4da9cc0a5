package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integers;

import io.epidote.engine.checkpoint.Connector;
import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import java.util.List;

/** The connector's part of the encoder's graph: what the tower made becomes media tokens. */
final class ConnectorGraph {
  private final VisionConfig config;
  private final int textHidden;
  private final String prefix;
  private final GraphBuilder graph;
  private final LinearLayers layers;

  /**
   * @param textHidden the decoder's hidden size
   * @param prefix of the connector's tensors
   */
  ConnectorGraph(
      VisionConfig config, int textHidden, String prefix, GraphBuilder graph, LinearLayers layers) {
    this.config = config;
    this.textHidden = textHidden;
    this.prefix = prefix;
    this.graph = graph;
    this.layers = layers;
  }

  /**
   * Writes the connector.
   *
   * @param x {@code [N * positions, hidden]}
   * @return {@code [N, mediaTokens, textHidden]}
   */
  Value write(Value x) {
    Value rows =
        switch (config.connector()) {
          case Connector.PixelShuffle(int scale) -> pixelShuffle(x, scale);
          case Connector.Mlp mlp -> mlp(x, mlp);
        };
    return reshape(rows, -1, config.mediaTokens(), textHidden);
  }

  private Value pixelShuffle(Value x, int scale) {
    int grid = config.grid();
    int hidden = config.hiddenSize();
    int wide = hidden * scale * scale;
    Value square = reshape(x, -1, grid / scale, scale, grid / scale, scale * hidden);
    square = graph.op("Transpose", List.of(square), integers("perm", 0, 1, 3, 2, 4));
    return layers.apply(
        graph,
        reshape(square, -1, wide),
        LinearLayers.Matrix.of(prefix + "proj.weight", wide, textHidden));
  }

  private Value mlp(Value x, Connector.Mlp mlp) {
    int hidden = config.hiddenSize();
    Value rows = x;
    if (mlp.dropsFirst()) {
      Value tiles = reshape(x, -1, config.positions(), hidden);
      Value kept =
          graph.op(
              "Slice",
              List.of(
                  tiles, graph.integers(1), graph.integers(config.positions()), graph.integers(1)));
      rows = reshape(kept, -1, hidden);
    }
    Value inner =
        layers.apply(
            graph, rows, LinearLayers.Matrix.of(prefix + "linear_1.weight", hidden, textHidden));
    Value bias = mlp.bias() ? bias("linear_1") : GraphBuilder.absent();
    Value product =
        layers.apply(
            graph,
            ActivationGraph.rows(graph, layers, mlp.activation(), inner, bias, textHidden),
            LinearLayers.Matrix.of(prefix + "linear_2.weight", textHidden, textHidden));
    return mlp.bias() ? graph.op("Add", List.of(product, bias("linear_2"))) : product;
  }

  private Value bias(String name) {
    return layers.tensor(prefix + name + ".bias", textHidden);
  }

  private Value reshape(Value x, long... shape) {
    return graph.op("Reshape", List.of(x, graph.integers(shape)));
  }
}
