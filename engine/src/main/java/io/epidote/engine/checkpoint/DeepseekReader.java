package io.epidote.engine.checkpoint;

import io.epidote.engine.checkpoint.RopeScaling.Yarn;
import java.util.List;
import java.util.Optional;

/** Reads what only DeepSeek-V2's {@code config.json} has. */
final class DeepseekReader {
  private DeepseekReader() {}

  static LatentAttention latent(ConfigFile config, Rope rope) {
    int plain = config.positive("qk_nope_head_dim");
    int rotary = config.positive("qk_rope_head_dim");
    if (rotary % 2 != 0) {
      throw config.inconsistent(
          "qk_rope_head_dim = %d is odd, but RoPE turns pairs".formatted(rotary));
    }
    // The published code applies YaRN's growth to queries and keys alike, hence its square.
    double growth =
        rope.scaling() instanceof Yarn yarn ? Yarn.magnitude(yarn.factor(), allWeight(config)) : 1;
    return new LatentAttention(
        config.has("q_lora_rank") ? config.positive("q_lora_rank") : 0,
        config.positive("kv_lora_rank"),
        plain,
        rotary,
        config.positive("v_head_dim"),
        (float) (growth * growth / Math.sqrt(plain + rotary)));
  }

  private static double allWeight(ConfigFile config) {
    String key = config.object("rope_parameters").isPresent() ? "rope_parameters" : "rope_scaling";
    return config.object(key).map(rope -> rope.number("mscale_all_dim", 0)).orElse(0.0);
  }

  static Optional<MoeConfig> moe(ConfigFile config) {
    if (!config.has("n_routed_experts")) {
      return Optional.empty();
    }
    if (!config.text("topk_method", "greedy").equals("greedy")) {
      throw config.unsupported("topk_method", List.of("greedy"));
    }
    if (!config.text("scoring_func", "softmax").equals("softmax")) {
      throw config.unsupported("scoring_func", List.of("softmax"));
    }
    if (config.positive("moe_layer_freq", 1) != 1) {
      throw config.unsupported("moe_layer_freq", List.of("1"));
    }
    int first = config.integer("first_k_dense_replace", 0);
    if (first < 0) {
      throw config.wrong("first_k_dense_replace", "0 or more");
    }
    int shared = config.integer("n_shared_experts", 0);
    if (shared < 0) {
      throw config.wrong("n_shared_experts", "0 or more");
    }
    double scale = config.number("routed_scaling_factor", 1);
    if (scale <= 0) {
      throw config.wrong("routed_scaling_factor", "a number above 0");
    }
    int perToken = config.positive("num_experts_per_tok");
    int intermediate = config.positive("moe_intermediate_size");
    // The published code either normalises or scales, and never normalises a single gate.
    boolean normalize = config.flag("norm_topk_prob", false) && perToken > 1;
    return Optional.of(
        new MoeConfig(
            config.positive("n_routed_experts"),
            perToken,
            intermediate,
            normalize,
            normalize ? 1 : (float) scale,
            shared * intermediate,
            first));
  }
}
