package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * Reads {@code config.json}. A key whose value changes what the model computes is either understood
 * or refused by name: a model that loads but answers wrongly is worse than one that does not load.
 */
final class ConfigReader {
  private static final Set<String> MULTIMODAL = Set.of("idefics3", "smolvlm");
  private static final List<String> SUPPORTED_TYPES =
      List.of("idefics3", "smolvlm", "llama", "qwen2", "mixtral", "qwen2_moe");

  private ConfigReader() {}

  static ModelConfig read(Path folder) {
    ConfigFile config = ConfigFile.read(folder.resolve("config.json"));
    String type = config.text("model_type");
    if (!SUPPORTED_TYPES.contains(type)) {
      throw config.unsupported("model_type", SUPPORTED_TYPES);
    }
    if (config.has("quantization_config")) {
      throw config.unsupported("quantization_config", List.of("no such key (weights unquantised)"));
    }
    if (!MULTIMODAL.contains(type)) {
      boolean tied = config.flag("tie_word_embeddings", false);
      return new ModelConfig(
          type, Optional.empty(), readText(config, tied), -1, 1, eosTokenIds(folder, config));
    }
    ConfigFile textConfig =
        config
            .object("text_config")
            .orElseThrow(() -> config.inconsistent("text_config is missing, expected an object"));
    VisionConfig vision =
        readVision(
            config
                .object("vision_config")
                .orElseThrow(
                    () -> config.inconsistent("vision_config is missing, expected an object")));
    // Hugging Face ties by the outer config and falls back to the inner one.
    boolean tied =
        config.flag("tie_word_embeddings", textConfig.flag("tie_word_embeddings", false));
    TextConfig text = readText(textConfig, tied);
    int scaleFactor = config.positive("scale_factor", 2);
    if (vision.grid() % scaleFactor != 0) {
      throw config.inconsistent(
          "scale_factor = %d does not divide the %d patches along a tile's edge"
              .formatted(scaleFactor, vision.grid()));
    }
    int imageTokenId = config.integer("image_token_id", -1);
    if (imageTokenId < 0 || imageTokenId >= text.vocabulary()) {
      throw config.inconsistent(
          "image_token_id is %s, expected a token of the vocabulary, 0 to %d"
              .formatted(
                  config.has("image_token_id") ? imageTokenId : "missing", text.vocabulary() - 1));
    }
    return new ModelConfig(
        type,
        Optional.of(vision),
        text,
        imageTokenId,
        scaleFactor,
        eosTokenIds(folder, config, textConfig));
  }

  /** Defaults are those of Hugging Face's Idefics3VisionConfig, which its configs leave out. */
  private static VisionConfig readVision(ConfigFile config) {
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

  private static TextConfig readText(ConfigFile config, boolean tied) {
    Family family = family(config);
    int hidden = config.positive("hidden_size");
    int heads = config.positive("num_attention_heads");
    int kvHeads = config.positive("num_key_value_heads", family == Family.MIXTRAL ? 8 : heads);
    if (!config.has("head_dim") && hidden % heads != 0) {
      throw config.inconsistent(
          "hidden_size = %d is not a multiple of num_attention_heads = %d and there is no head_dim"
              .formatted(hidden, heads));
    }
    int headDim = config.positive("head_dim", hidden / heads);
    if (heads % kvHeads != 0) {
      throw config.inconsistent(
          "num_attention_heads = %d is not a multiple of num_key_value_heads = %d"
              .formatted(heads, kvHeads));
    }
    if (headDim % 2 != 0) {
      throw config.inconsistent("head_dim = %d is odd, but RoPE turns pairs".formatted(headDim));
    }
    if (Activation.ofName(config.text("hidden_act", "silu")).orElse(null) != Activation.SILU) {
      throw config.unsupported("hidden_act", List.of("silu"));
    }
    if (config.flag("mlp_bias", false)) {
      throw config.unsupported("mlp_bias", List.of("false"));
    }
    refuseSlidingWindow(config, family);
    return new TextConfig(
        family,
        hidden,
        config.positive("num_hidden_layers"),
        heads,
        kvHeads,
        headDim,
        config.positive("intermediate_size"),
        (float) config.number("rms_norm_eps", family == Family.MIXTRAL ? 1e-5 : 1e-6),
        ropeTheta(config, family),
        config.positive("max_position_embeddings", contextDefault(family)),
        config.positive("vocab_size"),
        attentionBias(config, family),
        tied,
        readMoe(config, family));
  }

  private static Family family(ConfigFile config) {
    // Hugging Face's Idefics3Config takes a text_config without a type for Llama's.
    return switch (config.text("model_type", "llama")) {
      case "llama" -> Family.LLAMA;
      case "qwen2" -> Family.QWEN2;
      case "mixtral" -> Family.MIXTRAL;
      case "qwen2_moe" -> Family.QWEN2_MOE;
      default ->
          throw config.unsupported("model_type", List.of("llama", "qwen2", "mixtral", "qwen2_moe"));
    };
  }

  private static int contextDefault(Family family) {
    return switch (family) {
      case LLAMA -> 2048;
      case MIXTRAL -> 131072;
      case QWEN2, QWEN2_MOE -> 32768;
    };
  }

  private static boolean attentionBias(ConfigFile config, Family family) {
    return switch (family) {
      case QWEN2 -> true;
      case QWEN2_MOE -> config.flag("qkv_bias", true);
      case LLAMA, MIXTRAL -> {
        // Llama's attention_bias also gives the output projection a bias, which Epidote's has not.
        if (config.flag("attention_bias", false)) {
          throw config.unsupported("attention_bias", List.of("false"));
        }
        yield false;
      }
    };
  }

  /** Both the old form, rope_theta and rope_scaling, and the newer rope_parameters. */
  private static double ropeTheta(ConfigFile config, Family family) {
    double fallback = family == Family.MIXTRAL ? 1e6 : 1e4;
    double theta = config.number("rope_theta", fallback);
    for (String key : List.of("rope_scaling", "rope_parameters")) {
      Optional<ConfigFile> rope = config.object(key);
      if (rope.isPresent()) {
        String type = rope.get().text("rope_type", rope.get().text("type", "default"));
        if (!type.equals("default")) {
          throw config.unsupported(key, List.of("null", "rope_type \"default\""));
        }
        theta = rope.get().number("rope_theta", theta);
      }
    }
    if (theta <= 0) {
      throw config.inconsistent("rope_theta = %s, expected a number above 0".formatted(theta));
    }
    return theta;
  }

  private static void refuseSlidingWindow(ConfigFile config, Family family) {
    boolean inUse =
        switch (family) {
          case QWEN2, QWEN2_MOE -> config.flag("use_sliding_window", false);
          case LLAMA, MIXTRAL -> config.has("sliding_window");
        };
    if (inUse) {
      boolean qwen = config.has("use_sliding_window");
      throw config.unsupported(
          qwen ? "use_sliding_window" : "sliding_window", List.of(qwen ? "false" : "null"));
    }
  }

  private static Optional<MoeConfig> readMoe(ConfigFile config, Family family) {
    MoeConfig moe =
        switch (family) {
          case LLAMA, QWEN2 -> null;
          case MIXTRAL -> {
            if (!config.flag("norm_topk_prob", true)) {
              throw config.unsupported("norm_topk_prob", List.of("true"));
            }
            yield new MoeConfig(
                config.positive("num_local_experts", 8),
                config.positive("num_experts_per_tok", 2),
                config.positive("intermediate_size"),
                true,
                0);
          }
          case QWEN2_MOE -> {
            if (config.positive("decoder_sparse_step", 1) != 1) {
              throw config.unsupported("decoder_sparse_step", List.of("1"));
            }
            if (config.value("mlp_only_layers").map(layers -> !layers.isEmpty()).orElse(false)) {
              throw config.unsupported("mlp_only_layers", List.of("[]"));
            }
            int shared = config.integer("shared_expert_intermediate_size", 5632);
            if (shared < 0) {
              throw config.wrong("shared_expert_intermediate_size", "0 or more");
            }
            yield new MoeConfig(
                config.positive("num_experts", 60),
                config.positive("num_experts_per_tok", 4),
                config.positive("moe_intermediate_size", 1408),
                config.flag("norm_topk_prob", false),
                shared);
          }
        };
    if (moe != null && moe.expertsPerToken() > moe.experts()) {
      throw config.inconsistent(
          "num_experts_per_tok = %d is more than the %d experts"
              .formatted(moe.expertsPerToken(), moe.experts()));
    }
    return Optional.ofNullable(moe);
  }

  private static Activation activation(ConfigFile config, String key, Activation fallback) {
    if (!config.has(key)) {
      return fallback;
    }
    return Activation.ofName(config.text(key))
        .orElseThrow(() -> config.unsupported(key, Activation.names()));
  }

  /** Of generation_config.json, else of the configs given, the first that names any. */
  private static Set<Integer> eosTokenIds(Path folder, ConfigFile... configs) {
    List<ConfigFile> sources = new ArrayList<>(List.of(configs));
    ConfigFile.readIfPresent(folder.resolve("generation_config.json")).ifPresent(sources::addFirst);
    String key = "eos_token_id";
    for (ConfigFile source : sources) {
      Optional<JsonNode> value = source.value(key);
      if (value.isPresent()) {
        Set<Integer> ids = new TreeSet<>();
        for (JsonNode id : value.get().isArray() ? value.get() : List.of(value.get())) {
          if (!id.canConvertToInt() || !id.isIntegralNumber() || id.intValue() < 0) {
            throw source.wrong(key, "a token id or a list of token ids");
          }
          ids.add(id.intValue());
        }
        return ids;
      }
    }
    return Set.of();
  }
}
