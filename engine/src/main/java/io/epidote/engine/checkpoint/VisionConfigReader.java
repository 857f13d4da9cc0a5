package io.epidote.engine.checkpoint;

import java.util.ArrayList;
import java.util.List;

/** Reads the vision tower's part of {@code config.json}. */
final class VisionConfigReader {
  private VisionConfigReader() {}

  /** Defaults are those of Hugging Face's Idefics3VisionConfig, which its configs leave out. */
  static VisionConfig read(ConfigFile config) {
    int hidden = config.positive("hidden_size", 1152);
    int heads = config.positive("num_attention_heads", 16);
    int imageSize = config.positive("image_size", 224);
    int patchSize = config.positive("patch_size", 32);
    if (hidden % heads != 0) {
      throw config.inconsistent(
          "hidden_size = %d is not a multiple of num_attention_heads = %d"
              .formatted(hidden, heads));
    }
    if (imageSize % patchSize != 0) {
      throw config.inconsistent(
          "image_size = %d is not a multiple of patch_size = %d".formatted(imageSize, patchSize));
    }
    if (config.integer("num_channels", 3) != 3) {
      throw config.unsupported("num_channels", List.of("3"));
    }
    return new VisionConfig(
        hidden,
        config.positive("num_hidden_layers", 12),
        heads,
        config.positive("intermediate_size", 3072),
        imageSize,
        patchSize,
        (float) config.number("layer_norm_eps", 1e-6),
        activation(config, "hidden_act", Activation.GELU_TANH),
        readConvStem(config, hidden, patchSize),
        activation(config, "conv_stem_act", Activation.RELU));
  }

  private static List<ConvLayer> readConvStem(ConfigFile config, int hidden, int patchSize) {
    List<ConvLayer> layers = new ArrayList<>();
    long stride = 1;
    for (ConfigFile layer : config.objects("conv_stem")) {
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
      throw config.inconsistent(
          "the strides of conv_stem multiply to %d, expected patch_size = %d"
              .formatted(stride, patchSize));
    }
    if (layers.getLast().outChannels() != hidden) {
      throw config.inconsistent(
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
