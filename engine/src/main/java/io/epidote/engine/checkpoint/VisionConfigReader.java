package io.epidote.engine.checkpoint;

import java.util.ArrayList;
import java.util.List;

/** Reads what {@code config.json} says of the vision tower and of the connector. */
final class VisionConfigReader {
  static final String LLAVA = "llava";

  private final ConfigFile model;
  private final ConfigFile tower;

  private VisionConfigReader(ConfigFile model) {
    this.model = model;
    this.tower =
        model
            .object("vision_config")
            .orElseThrow(() -> model.inconsistent("vision_config is missing, expected an object"));
  }

  /**
   * @param model the whole config, of a model with a vision tower
   */
  static VisionConfig read(ConfigFile model) {
    VisionConfigReader reader = new VisionConfigReader(model);
    return model.text("model_type").equals(LLAVA) ? reader.llava() : reader.idefics3();
  }

  /** A tower's sizes where the config leaves them out. */
  private record Defaults(
      int hidden, int heads, int intermediate, int patchSize, double eps, Activation activation) {}

  /** Defaults are those of Hugging Face's Idefics3VisionConfig, which its configs leave out. */
  private VisionConfig idefics3() {
    int scale = model.positive("scale_factor", 2);
    VisionConfig vision =
        read(
            VisionTower.SIGLIP,
            new Defaults(1152, 16, 3072, 32, 1e-6, Activation.GELU_TANH),
            tower.positive("num_hidden_layers", 12),
            true,
            new Connector.PixelShuffle(scale));
    if (vision.grid() % scale != 0) {
      throw model.inconsistent(
          "scale_factor = %d does not divide the %d patches along a tile's edge"
              .formatted(scale, vision.grid()));
    }
    return vision;
  }

  private VisionConfig llava() {
    VisionTower form =
        switch (tower.text("model_type")) {
          case "clip_vision_model" -> VisionTower.CLIP;
          case "siglip_vision_model" -> VisionTower.SIGLIP;
          default ->
              throw tower.unsupported(
                  "model_type", List.of("clip_vision_model", "siglip_vision_model"));
        };
    Defaults defaults =
        form == VisionTower.CLIP
            ? new Defaults(768, 12, 3072, 32, 1e-5, Activation.QUICK_GELU)
            : new Defaults(768, 12, 3072, 16, 1e-6, Activation.GELU_TANH);
    // The hidden states between layers are without the tower's last norm, the last one, too.
    return read(form, defaults, featureLayer(), false, mlp());
  }

  /** Layers before the hidden state that is used, of which 0 is the embeddings. */
  private int featureLayer() {
    String key = "vision_feature_layer";
    int layers = tower.positive("num_hidden_layers", 12);
    if (model.value(key).map(value -> value.isArray()).orElse(false)) {
      throw model.unsupported(key, List.of("one layer, for example -2"));
    }
    int layer = model.integer(key, -2);
    int counted = layer < 0 ? layers + 1 + layer : layer;
    if (counted < 1 || counted > layers) {
      throw model.wrong(key, "1 to %d, or -1 to -%d from the end".formatted(layers, layers));
    }
    return counted;
  }

  private Connector mlp() {
    String key = "vision_feature_select_strategy";
    boolean dropsFirst =
        switch (model.text(key, "default")) {
          case "default" -> true;
          case "full" -> false;
          default -> throw model.unsupported(key, List.of("default", "full"));
        };
    return new Connector.Mlp(
        activation(model, "projector_hidden_act", Activation.GELU),
        model.flag("multimodal_projector_bias", true),
        dropsFirst);
  }

  private VisionConfig read(
      VisionTower form, Defaults defaults, int layers, boolean postNorm, Connector connector) {
    int hidden = tower.positive("hidden_size", defaults.hidden());
    int heads = tower.positive("num_attention_heads", defaults.heads());
    int imageSize = tower.positive("image_size", 224);
    int patchSize = tower.positive("patch_size", defaults.patchSize());
    if (hidden % heads != 0) {
      throw tower.inconsistent(
          "hidden_size = %d is not a multiple of num_attention_heads = %d"
              .formatted(hidden, heads));
    }
    if (imageSize < patchSize) {
      throw tower.inconsistent(
          "image_size = %d is less than patch_size = %d".formatted(imageSize, patchSize));
    }
    if (tower.integer("num_channels", 3) != 3) {
      throw tower.unsupported("num_channels", List.of("3"));
    }
    List<ConvLayer> stem = readConvStem(hidden, patchSize);
    if (!stem.isEmpty() && imageSize % patchSize != 0) {
      throw tower.inconsistent(
          "image_size = %d is not a multiple of patch_size = %d, as conv_stem needs it"
              .formatted(imageSize, patchSize));
    }
    return new VisionConfig(
        form,
        hidden,
        layers,
        heads,
        tower.positive("intermediate_size", defaults.intermediate()),
        imageSize,
        patchSize,
        (float) tower.number("layer_norm_eps", defaults.eps()),
        activation(tower, "hidden_act", defaults.activation()),
        stem,
        activation(tower, "conv_stem_act", Activation.RELU),
        postNorm,
        connector);
  }

  private List<ConvLayer> readConvStem(int hidden, int patchSize) {
    List<ConvLayer> layers = new ArrayList<>();
    long stride = 1;
    for (ConfigFile layer : tower.objects("conv_stem")) {
      ConvLayer conv =
          new ConvLayer(
              layer.positive("out_channels"),
              layer.positive("kernel_size"),
              layer.positive("stride", 1));
      // Half of an even kernel on each side would change the picture's size.
      if (conv.kernelSize() % 2 == 0) {
        throw layer.unsupported("kernel_size", List.of("odd sizes"));
      }
      stride *= conv.stride();
      layers.add(conv);
    }
    if (layers.isEmpty()) {
      return layers;
    }
    if (stride != patchSize) {
      throw tower.inconsistent(
          "the strides of conv_stem multiply to %d, expected patch_size = %d"
              .formatted(stride, patchSize));
    }
    if (layers.getLast().outChannels() != hidden) {
      throw tower.inconsistent(
          "the last layer of conv_stem has out_channels = %d, expected hidden_size = %d"
              .formatted(layers.getLast().outChannels(), hidden));
    }
    return layers;
  }

  private static Activation activation(ConfigFile config, String key, Activation fallback) {
    if (!config.has(key)) {
      return fallback;
    }
    return Activation.ofName(config.text(key))
        .orElseThrow(() -> config.unsupported(key, Activation.names()));
  }
}
