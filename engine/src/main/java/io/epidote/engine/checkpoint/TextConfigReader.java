package io.epidote.engine.checkpoint;

import java.util.List;
import java.util.Optional;

/** Reads the decoder's part of {@code config.json}. */
final class TextConfigReader {
  static final List<String> TYPES =
      List.of("llama", "mistral", "qwen2", "mixtral", "qwen2_moe", "deepseek_v2");

  /** Longer sequences than this are beyond what an index of KV can count. */
  private static final int MAX_CONTEXT = 1 << 24;

  private TextConfigReader() {}

  static TextConfig read(ConfigFile config, boolean tied) {
    Family family = family(config);
    int hidden = config.positive("hidden_size");
    int heads = config.positive("num_attention_heads");
    if (Activation.ofName(config.text("hidden_act", "silu")).orElse(null) != Activation.SILU) {
      throw config.unsupported("hidden_act", List.of("silu"));
    }
    if (config.flag("mlp_bias", false)) {
      throw config.unsupported("mlp_bias", List.of("false"));
    }
    int layers = config.positive("num_hidden_layers");
    int positions = config.positive("max_position_embeddings", contextDefault(config));
    Rope rope = RopeReader.read(config, family == Family.MIXTRAL ? 1e6 : 1e4, positions);
    int context = contextTokens(rope, positions);
    Optional<LatentAttention> latent =
        family == Family.DEEPSEEK_V2
            ? Optional.of(DeepseekReader.latent(config, rope))
            : Optional.empty();
    return new TextConfig(
        family,
        hidden,
        layers,
        heads,
        latent.map(_ -> 1).orElseGet(() -> kvHeads(config, heads)),
        latent
            .map(widths -> widths.plainWidth() + widths.rotaryWidth())
            .orElseGet(() -> headDim(config, hidden, heads)),
        config.positive("intermediate_size"),
        (float) config.number("rms_norm_eps", family == Family.MIXTRAL ? 1e-5 : 1e-6),
        rope,
        WindowReader.read(config, type(config), layers, context),
        context,
        config.positive("vocab_size"),
        attentionBiases(config, family),
        tied,
        readMoe(config, family),
        latent);
  }

  private static int kvHeads(ConfigFile config, int heads) {
    int kvHeads = config.positive("num_key_value_heads", kvHeadsDefault(config, heads));
    if (heads % kvHeads != 0) {
      throw config.inconsistent(
          "num_attention_heads = %d is not a multiple of num_key_value_heads = %d"
              .formatted(heads, kvHeads));
    }
    return kvHeads;
  }

  private static int headDim(ConfigFile config, int hidden, int heads) {
    if (!config.has("head_dim") && hidden % heads != 0) {
      throw config.inconsistent(
          "hidden_size = %d is not a multiple of num_attention_heads = %d and there is no head_dim"
              .formatted(hidden, heads));
    }
    int headDim = config.positive("head_dim", hidden / heads);
    if (headDim % 2 != 0) {
      throw config.inconsistent("head_dim = %d is odd, but RoPE turns pairs".formatted(headDim));
    }
    return headDim;
  }

  private static String type(ConfigFile config) {
    // Hugging Face's Idefics3Config takes a text_config without a type for Llama's.
    return config.text("model_type", "llama");
  }

  private static Family family(ConfigFile config) {
    return switch (type(config)) {
      case "llama", "mistral" -> Family.LLAMA;
      case "qwen2" -> Family.QWEN2;
      case "mixtral" -> Family.MIXTRAL;
      case "qwen2_moe" -> Family.QWEN2_MOE;
      case "deepseek_v2" -> Family.DEEPSEEK_V2;
      default -> throw config.unsupported("model_type", TYPES);
    };
  }

  private static int kvHeadsDefault(ConfigFile config, int heads) {
    return switch (type(config)) {
      case "mistral", "mixtral" -> 8;
      default -> heads;
    };
  }

  private static int contextDefault(ConfigFile config) {
    return switch (type(config)) {
      case "mistral", "mixtral" -> 131072;
      case "qwen2", "qwen2_moe" -> 32768;
      default -> 2048;
    };
  }

  /** YaRN's configs often name the original context only. */
  private static int contextTokens(Rope rope, int positions) {
    return rope.scaling() instanceof RopeScaling.Yarn yarn
        ? Math.max(positions, (int) Math.min(MAX_CONTEXT, yarn.factor() * yarn.originalContext()))
        : positions;
  }

  private static Biases attentionBiases(ConfigFile config, Family family) {
    return switch (family) {
      case QWEN2 -> new Biases(true, false);
      case QWEN2_MOE -> new Biases(config.flag("qkv_bias", true), false);
      case LLAMA, MIXTRAL, DEEPSEEK_V2 -> {
        boolean bias = config.flag("attention_bias", false);
        if (bias && !type(config).equals("llama")) {
          throw config.unsupported("attention_bias", List.of("false"));
        }
        yield new Biases(bias, bias);
      }
    };
  }

  private static Optional<MoeConfig> readMoe(ConfigFile config, Family family) {
    MoeConfig moe =
        switch (family) {
          case LLAMA, QWEN2 -> null;
          case DEEPSEEK_V2 -> DeepseekReader.moe(config).orElse(null);
          case MIXTRAL -> {
            if (!config.flag("norm_topk_prob", true)) {
              throw config.unsupported("norm_topk_prob", List.of("true"));
            }
            yield new MoeConfig(
                config.positive("num_local_experts", 8),
                config.positive("num_experts_per_tok", 2),
                config.positive("intermediate_size"),
                true,
                1,
                0,
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
                1,
                shared,
                0);
          }
        };
    if (moe != null && moe.expertsPerToken() > moe.experts()) {
      throw config.inconsistent(
          "num_experts_per_tok = %d is more than the %d experts"
              .formatted(moe.expertsPerToken(), moe.experts()));
    }
    return Optional.ofNullable(moe);
  }
}
