package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.integers;
import static io.epidote.engine.onnx.Attribute.real;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ConvLayer;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.TensorNames;
import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.checkpoint.VisionTower;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import io.epidote.engine.onnx.WeightFile;
import java.util.List;

/**
 * Writes the encoder's graph: a SigLIP or CLIP tower (patch embedding, or a convolutional stem) and
 * the connector into the decoder's hidden size.
 *
 * <p>Input: {@code pixels [N, 3, size, size]}. Output: {@code media_tokens [N, tileTokens,
 * hidden]}.
 */
final class VisionGraph {
  private final ModelConfig model;
  private final VisionConfig config;
  private final GraphBuilder graph;
  private final LinearLayers weights;
  private final TensorNames names;
  private final String tower;

  private VisionGraph(Checkpoint checkpoint, Precision precision, WeightFile file) {
    this.model = checkpoint.config();
    this.config = model.vision().orElseThrow();
    this.graph = new GraphBuilder("vision", file);
    this.weights = new LinearLayers(checkpoint, graph, precision);
    this.names = TensorNames.of(checkpoint);
    this.tower = names.vision();
  }

  static byte[] write(Checkpoint checkpoint, Precision precision, WeightFile file) {
    return new VisionGraph(checkpoint, precision, file).write();
  }

  private byte[] write() {
    int size = config.imageSize();
    Value pixels = graph.input("pixels", ElementType.FLOAT, "N", 3, size, size);
    Value map = config.convStem().isEmpty() ? patches(pixels) : stem(pixels);
    // [N, hidden, grid, grid] to [N, positions, hidden]
    Value x = transpose(reshape(map, 0, config.hiddenSize(), -1), 0, 2, 1);
    if (config.tower() == VisionTower.CLIP) {
      x = withClassToken(x);
    }
    x =
        graph.op(
            "Add",
            List.of(
                x,
                weights.tensor(
                    tower + "embeddings.position_embedding.weight",
                    config.positions(),
                    config.hiddenSize())));
    // Linear layers see rows; attention puts them back together by tile.
    x = reshape(x, -1, config.hiddenSize());
    if (config.tower() == VisionTower.CLIP) {
      // Spelt so in every checkpoint.
      x = norm(tower + "pre_layrnorm", x);
    }
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = tower + "encoder.layers." + layer + ".";
      x = graph.op("Add", List.of(x, attention(name, norm(name + "layer_norm1", x))));
      x = graph.op("Add", List.of(x, feedForward(name, norm(name + "layer_norm2", x))));
    }
    if (config.postNorm()) {
      x = norm(tower + "post_layernorm", x);
    }
    graph.output(
        "media_tokens",
        new ConnectorGraph(config, model.text().hiddenSize(), names.connector(), graph, weights)
            .write(x),
        ElementType.FLOAT,
        "N",
        config.mediaTokens(),
        model.text().hiddenSize());
    return graph.model();
  }

  /** {@code [N, patches, hidden]} to {@code [N, positions, hidden]}. */
  private Value withClassToken(Value x) {
    int hidden = config.hiddenSize();
    Value token = weights.tensor(tower + "embeddings.class_embedding", hidden);
    Value tiles = graph.op("Shape", List.of(x), integer("start", 0), integer("end", 1));
    Value shape = graph.op("Concat", List.of(tiles, graph.integers(1, hidden)), integer("axis", 0));
    return graph.op(
        "Concat", List.of(graph.op("Expand", List.of(token, shape)), x), integer("axis", 1));
  }

  private Value patches(Value pixels) {
    String name = tower + "embeddings.patch_embedding.";
    int patch = config.patchSize();
    Value kernels = weights.tensor(name + "weight", config.hiddenSize(), 3, patch, patch);
    List<Value> inputs =
        switch (config.tower()) {
          case CLIP -> List.of(pixels, kernels);
          case SIGLIP ->
              List.of(pixels, kernels, weights.tensor(name + "bias", config.hiddenSize()));
        };
    return graph.op("Conv", inputs, integers("strides", patch, patch));
  }

  private Value stem(Value pixels) {
    Value x = pixels;
    int channels = 3;
    for (int i = 0; i < config.convStem().size(); i++) {
      ConvLayer layer = config.convStem().get(i);
      String name = tower + "embeddings.conv_stem." + i + ".";
      int kernel = layer.kernelSize();
      int pad = kernel / 2;
      if (i > 0) {
        x = ActivationGraph.write(graph, config.convStemActivation(), x);
      }
      x =
          graph.op(
              "Conv",
              List.of(
                  x,
                  weights.tensor(name + "weight", layer.outChannels(), channels, kernel, kernel),
                  weights.tensor(name + "bias", layer.outChannels())),
              integers("strides", layer.stride(), layer.stride()),
              integers("pads", pad, pad, pad, pad));
      channels = layer.outChannels();
    }
    return x;
  }

  private Value norm(String name, Value x) {
    return graph.op(
        "LayerNormalization",
        List.of(
            x,
            weights.tensor(name + ".weight", config.hiddenSize()),
            weights.tensor(name + ".bias", config.hiddenSize())),
        integer("axis", -1),
        real("epsilon", config.layerNormEps()));
  }

  private Value attention(String name, Value x) {
    int hidden = config.hiddenSize();
    int heads = config.heads();
    int headDim = hidden / heads;
    String module = name + "self_attn.";
    List<String> projections =
        List.of(module + "q_proj.weight", module + "k_proj.weight", module + "v_proj.weight");
    List<String> biases =
        List.of(module + "q_proj.bias", module + "k_proj.bias", module + "v_proj.bias");
    Value qkv =
        weights.apply(
            graph, x, new LinearLayers.Matrix(projections, hidden, hidden, hidden, hidden));
    qkv = graph.op("Add", List.of(qkv, weights.biases(biases, hidden, hidden, hidden)));
    List<Value> parts =
        graph.ops(
            "Split", List.of(qkv, graph.integers(hidden, hidden, hidden)), 3, integer("axis", -1));
    Value q = transpose(reshape(parts.get(0), -1, config.positions(), heads, headDim), 0, 2, 1, 3);
    Value k = transpose(reshape(parts.get(1), -1, config.positions(), heads, headDim), 0, 2, 3, 1);
    Value v = transpose(reshape(parts.get(2), -1, config.positions(), heads, headDim), 0, 2, 1, 3);
    q = graph.op("Mul", List.of(q, graph.real((float) (1 / Math.sqrt(headDim)))));
    Value probabilities =
        graph.op("Softmax", List.of(graph.op("MatMul", List.of(q, k))), integer("axis", -1));
    Value context = transpose(graph.op("MatMul", List.of(probabilities, v)), 0, 2, 1, 3);
    return linear(module + "out_proj", reshape(context, -1, hidden), hidden, hidden);
  }

  private Value feedForward(String name, Value x) {
    int hidden = config.hiddenSize();
    int intermediate = config.intermediateSize();
    Value inner =
        ActivationGraph.write(
            graph, config.activation(), linear(name + "mlp.fc1", x, hidden, intermediate));
    return linear(name + "mlp.fc2", inner, intermediate, hidden);
  }

  private Value linear(String name, Value x, int in, int out) {
    Value product = weights.apply(graph, x, LinearLayers.Matrix.of(name + ".weight", in, out));
    return graph.op("Add", List.of(product, weights.tensor(name + ".bias", out)));
  }

  private Value reshape(Value x, long... shape) {
    return graph.op("Reshape", List.of(x, graph.integers(shape)));
  }

  private Value transpose(Value x, long... order) {
    return graph.op("Transpose", List.of(x), integers("perm", order));
  }
}
