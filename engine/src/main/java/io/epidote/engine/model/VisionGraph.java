package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.integers;
import static io.epidote.engine.onnx.Attribute.real;
import static io.epidote.engine.onnx.Attribute.text;

import io.epidote.engine.checkpoint.Activation;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ConvLayer;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import io.epidote.engine.onnx.WeightFile;
import java.util.List;

/**
 * Writes the encoder's graph: a SigLIP tower (patch embedding, or a convolutional stem) and the
 * pixel-shuffle connector of Idefics3 into the decoder's hidden size.
 *
 * <p>Input: {@code pixels [N, 3, size, size]}. Output: {@code media_tokens [N, tileTokens,
 * hidden]}.
 */
final class VisionGraph {
  private static final String TOWER = "model.vision_model.";

  private final ModelConfig model;
  private final VisionConfig config;
  private final GraphBuilder graph;
  private final LinearLayers weights;

  private VisionGraph(Checkpoint checkpoint, Precision precision, WeightFile file) {
    this.model = checkpoint.config();
    this.config = model.vision().orElseThrow();
    this.graph = new GraphBuilder("vision", file);
    this.weights = new LinearLayers(checkpoint, graph, precision);
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
    x =
        graph.op(
            "Add",
            List.of(
                x,
                weights.tensor(
                    TOWER + "embeddings.position_embedding.weight",
                    config.positions(),
                    config.hiddenSize())));
    // Linear layers see rows; attention puts them back together by tile.
    x = reshape(x, -1, config.hiddenSize());
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = TOWER + "encoder.layers." + layer + ".";
      x = graph.op("Add", List.of(x, attention(name, norm(name + "layer_norm1", x))));
      x = graph.op("Add", List.of(x, feedForward(name, norm(name + "layer_norm2", x))));
    }
    x = connector(norm(TOWER + "post_layernorm", x));
    graph.output(
        "media_tokens",
        x,
        ElementType.FLOAT,
        "N",
        config.mediaTokens(model.scaleFactor()),
        model.text().hiddenSize());
    return graph.model();
  }

  private Value patches(Value pixels) {
    String name = TOWER + "embeddings.patch_embedding.";
    int patch = config.patchSize();
    return graph.op(
        "Conv",
        List.of(
            pixels,
            weights.tensor(name + "weight", config.hiddenSize(), 3, patch, patch),
            weights.tensor(name + "bias", config.hiddenSize())),
        integers("strides", patch, patch));
  }

  private Value stem(Value pixels) {
    Value x = pixels;
    int channels = 3;
    for (int i = 0; i < config.convStem().size(); i++) {
      ConvLayer layer = config.convStem().get(i);
      String name = TOWER + "embeddings.conv_stem." + i + ".";
      int kernel = layer.kernelSize();
      int pad = kernel / 2;
      if (i > 0) {
        x = activate(config.convStemActivation(), x);
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
    Value inner = activate(config.activation(), linear(name + "mlp.fc1", x, hidden, intermediate));
    return linear(name + "mlp.fc2", inner, intermediate, hidden);
  }

  private Value linear(String name, Value x, int in, int out) {
    Value product = weights.apply(graph, x, LinearLayers.Matrix.of(name + ".weight", in, out));
    return graph.op("Add", List.of(product, weights.tensor(name + ".bias", out)));
  }

  /** Pixel shuffle: a square of {@code scale x scale} positions becomes one wider token. */
  private Value connector(Value x) {
    int grid = config.grid();
    int scale = model.scaleFactor();
    int hidden = config.hiddenSize();
    int wide = hidden * scale * scale;
    Value square = reshape(x, -1, grid / scale, scale, grid / scale, scale * hidden);
    square = transpose(square, 0, 1, 3, 2, 4);
    Value tokens = reshape(square, -1, wide);
    Value projected =
        weights.apply(
            graph,
            tokens,
            LinearLayers.Matrix.of(
                "model.connector.modality_projection.proj.weight",
                wide,
                model.text().hiddenSize()));
    return reshape(projected, -1, config.mediaTokens(scale), model.text().hiddenSize());
  }

  private Value activate(Activation activation, Value x) {
    return switch (activation) {
      case RELU -> graph.op("Relu", List.of(x));
      case GELU -> graph.op("Gelu", List.of(x), text("approximate", "none"));
      case GELU_TANH -> graph.op("Gelu", List.of(x), text("approximate", "tanh"));
      case QUICK_GELU ->
          graph.op(
              "Mul",
              List.of(
                  x,
                  graph.op("Sigmoid", List.of(graph.op("Mul", List.of(x, graph.real(1.702f)))))));
      case SILU -> graph.op("Mul", List.of(x, graph.op("Sigmoid", List.of(x))));
    };
  }

  private Value reshape(Value x, long... shape) {
    return graph.op("Reshape", List.of(x, graph.integers(shape)));
  }

  private Value transpose(Value x, long... order) {
    return graph.op("Transpose", List.of(x), integers("perm", order));
  }
}
