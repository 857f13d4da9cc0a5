package io.epidote.engine.reference;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.DType;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Locale;

/**
 * The checkpoints of the reference check: a config as Hugging Face writes it and a seed for the
 * weights.
 */
enum ReferenceModel {
  LLAMA(
      DType.BF16,
      1,
      """
      {"model_type": "llama", "hidden_size": 96, "num_hidden_layers": 3,
       "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 192,
       "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 512}\
      """),
  QWEN2(
      DType.F32,
      1,
      """
      {"model_type": "qwen2", "hidden_size": 128, "num_hidden_layers": 2,
       "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 256,
       "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "max_position_embeddings": 512,
       "use_sliding_window": false}\
      """),
  MIXTRAL(
      DType.BF16,
      1,
      """
      {"model_type": "mixtral", "hidden_size": 64, "num_hidden_layers": 2,
       "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 96,
       "num_local_experts": 8, "num_experts_per_tok": 2,
       "rms_norm_eps": 1e-5, "rope_theta": 1000000.0, "max_position_embeddings": 512}\
      """),
  QWEN2_MOE(
      DType.F32,
      1,
      """
      {"model_type": "qwen2_moe", "hidden_size": 64, "num_hidden_layers": 2,
       "num_attention_heads": 4, "num_key_value_heads": 4, "intermediate_size": 128,
       "num_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 48,
       "shared_expert_intermediate_size": 80, "norm_topk_prob": false,
       "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 512}\
      """),
  /** Llama 3.1's scaling, with contexts short enough for the answer to be far beyond. */
  LLAMA3_ROPE(
      DType.BF16,
      1,
      """
      {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
       "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 128,
       "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
       "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": 512}\
      """),
  LLAMA_LINEAR_ROPE(
      DType.F32,
      5,
      """
      {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
       "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128,
       "attention_bias": true, "rope_scaling": {"type": "linear", "factor": 4.0},
       "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 512}\
      """),
  QWEN2_YARN_ROPE(
      DType.F32,
      1,
      """
      {"model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2,
       "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 128,
       "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
       "rms_norm_eps": 1e-6, "rope_theta": 1000.0, "max_position_embeddings": 256}\
      """);

  static final int VOCABULARY = 512;

  private static final ObjectMapper MAPPER = new ObjectMapper();

  private final DType dtype;
  private final long seed;
  private final String config;

  ReferenceModel(DType dtype, long seed, String config) {
    this.dtype = dtype;
    this.seed = seed;
    this.config = config;
  }

  /** Of the folder and of the golden file, for example {@code qwen2-moe}. */
  String word() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  DType dtype() {
    return dtype;
  }

  long seed() {
    return seed;
  }

  ObjectNode config() {
    try {
      ObjectNode node = (ObjectNode) MAPPER.readTree(config);
      return node.put("vocab_size", VOCABULARY).put("tie_word_embeddings", false);
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("the config of " + name() + " is not JSON", e);
    }
  }

  /** What the other implementation answered. */
  Golden golden() {
    try (var in = ReferenceModel.class.getResourceAsStream("/golden/" + word() + ".json")) {
      return MAPPER.readValue(in, Golden.class);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
