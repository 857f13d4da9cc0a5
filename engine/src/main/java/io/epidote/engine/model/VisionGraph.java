package io.epidote.engine.model;

import static io.epidote.engine.onnx.Attribute.integer;
import static io.epidote.engine.onnx.Attribute.integers;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ConvLayer;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.TensorNames;
import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.checkpoint.VisionTower;
import io.epidote.engine.kernel.TileAttention;
import io.epidote.engine.kernel.VisionOperators;
import io.epidote.engine.onnx.ElementType;
import io.epidote.engine.onnx.GraphBuilder;
import io.epidote.engine.onnx.Value;
import io.epidote.engine.onnx.WeightFile;
import java.util.List;
import java.util.Optional;

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
  private final LinearLayers layers;
  private final TensorNames names;
  private final String tower;

  private VisionGraph(Checkpoint checkpoint, Precision precision, WeightFile file) {
    this.model = checkpoint.config();
    this.config = model.vision().orElseThrow();
    this.graph = new GraphBuilder("vision", file);
    this.layers = new LinearLayers(checkpoint, graph, precision);
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
                layers.tensor(
                    tower + "embeddings.position_embedding.weight",
                    config.positions(),
                    config.hiddenSize())));
    // Linear layers see rows; attention knows how many make a tile.
    x = reshape(x, -1, config.hiddenSize());
    if (config.tower() == VisionTower.CLIP) {
      // Spelt so in every checkpoint.
      x = addAndNorm(x, Optional.empty(), tower + "pre_layrnorm", true).normed().values();
    }
    Optional<Biased> change = Optional.empty();
    for (int layer = 0; layer < config.layers(); layer++) {
      String name = tower + "encoder.layers." + layer + ".";
      Sum sum = addAndNorm(x, change, name + "layer_norm1", false);
      Biased attended = attention(name + "self_attn.", sum.normed());
      sum = addAndNorm(sum.x(), Optional.of(attended), name + "layer_norm2", false);
      change = Optional.of(feedForward(name + "mlp.", sum.normed()));
      x = sum.x();
    }
    if (config.postNorm()) {
      x = addAndNorm(x, change, tower + "post_layernorm", true).normed().values();
    } else if (change.isPresent()) {
      Biased last = change.get();
      x = graph.op("Add", List.of(x, graph.op("Add", List.of(last.product(), last.bias()))));
    }
    graph.output(
        "media_tokens",
        new ConnectorGraph(config, model.text().hiddenSize(), names.connector(), graph, layers)
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
    Value token = layers.tensor(tower + "embeddings.class_embedding", hidden);
    Value tiles = graph.op("Shape", List.of(x), integer("start", 0), integer("end", 1));
    Value shape = graph.op("Concat", List.of(tiles, graph.integers(1, hidden)), integer("axis", 0));
    return graph.op(
        "Concat", List.of(graph.op("Expand", List.of(token, shape)), x), integer("axis", 1));
  }

  private Value patches(Value pixels) {
    String name = tower + "embeddings.patch_embedding.";
    int patch = config.patchSize();
    Value kernels = layers.tensor(name + "weight", config.hiddenSize(), 3, patch, patch);
    List<Value> inputs =
        switch (config.tower()) {
          case CLIP -> List.of(pixels, kernels);
          case SIGLIP ->
              List.of(pixels, kernels, layers.tensor(name + "bias", config.hiddenSize()));
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
                  layers.tensor(name + "weight", layer.outChannels(), channels, kernel, kernel),
                  layers.tensor(name + "bias", layer.outChannels())),
              integers("strides", layer.stride(), layer.stride()),
              integers("pads", pad, pad, pad, pad));
      channels = layer.outChannels();
    }
    return x;
  }

  /** A linear layer's product, to which its bias is still to be added. */
  private record Biased(Value product, Value bias) {}

  /** A residual stream and its norm. */
  private record Sum(Value x, LinearLayers.Rows normed) {}

  /**
   * @param change what is added to {@code x} first
   * @param real whether the normed rows are also needed as they are
   */
  private Sum addAndNorm(Value x, Optional<Biased> change, String name, boolean real) {
    int hidden = config.hiddenSize();
    boolean bytes = layers.quantizesRows();
    List<Value> made =
        graph.epidoteOps(
            VisionOperators.ADD_AND_LAYER_NORM,
            List.of(
                x,
                change.map(Biased::product).orElseGet(GraphBuilder::absent),
                change.map(Biased::bias).orElseGet(GraphBuilder::absent),
                layers.tensor(name + ".weight", hidden),
                layers.tensor(name + ".bias", hidden)),
            List.of(change.isPresent(), real || !bytes, bytes && !real, bytes && !real),
            integer(VisionOperators.WIDTH, hidden));
    return new Sum(
        change.isPresent() ? made.get(0) : x, layers.rows(made.get(1), made.get(2), made.get(3)));
  }

  private Biased attention(String module, LinearLayers.Rows x) {
    int hidden = config.hiddenSize();
    List<String> projections =
        List.of(module + "q_proj.weight", module + "k_proj.weight", module + "v_proj.weight");
    List<String> biases =
        List.of(module + "q_proj.bias", module + "k_proj.bias", module + "v_proj.bias");
    Value qkv =
        layers.apply(
            graph, x, new LinearLayers.Matrix(projections, hidden, hidden, hidden, hidden));
    boolean bytes = layers.quantizesRows();
    List<Value> context =
        graph.epidoteOps(
            TileAttention.NAME,
            List.of(qkv, layers.biases(biases, hidden, hidden, hidden)),
            List.of(!bytes, bytes, bytes),
            integer(TileAttention.POSITIONS, config.positions()));
    return linear(
        module + "out_proj",
        layers.rows(context.get(0), context.get(1), context.get(2)),
        hidden,
        hidden);
  }

  private Biased feedForward(String module, LinearLayers.Rows x) {
    int hidden = config.hiddenSize();
    int intermediate = config.intermediateSize();
    Biased inner = linear(module + "fc1", x, hidden, intermediate);
    return linear(
        module + "fc2",
        ActivationGraph.rows(
            graph, layers, config.activation(), inner.product(), inner.bias(), intermediate),
        intermediate,
        hidden);
  }

  private Biased linear(String name, LinearLayers.Rows x, int in, int out) {
    return new Biased(
        layers.apply(graph, x, LinearLayers.Matrix.of(name + ".weight", in, out)),
        layers.tensor(name + ".bias", out));
  }

  private Value reshape(Value x, long... shape) {
    return graph.op("Reshape", List.of(x, graph.integers(shape)));
  }

  private Value transpose(Value x, long... order) {
    return graph.op("Transpose", List.of(x), integers("perm", order));
  }
}
