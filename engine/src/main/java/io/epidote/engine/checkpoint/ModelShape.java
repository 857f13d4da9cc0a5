package io.epidote.engine.checkpoint;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.Arrays;
import java.util.stream.Collectors;

/** Sizes of well-known models, for measuring speed and memory with random weights. */
public enum ModelShape {
  SMOLLM2_135M("smollm2-135m"),
  SMOLVLM_256M("smolvlm-256m"),
  MOE_576X12X16("moe-576x12x16"),
  /** Small, for what many adapters do to each other. */
  MOE_128X4X8("moe-128x4x8");

  private static final String TEXT =
      """
      "hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64,
      "num_hidden_layers": %d, "intermediate_size": %d, "hidden_act": "silu", "rms_norm_eps": 1e-5,
      "rope_theta": 100000.0, "max_position_embeddings": 8192, "vocab_size": %d,
      "tie_word_embeddings": true\
      """;

  private final String word;

  ModelShape(String word) {
    this.word = word;
  }

  /** As users write it. */
  public String word() {
    return word;
  }

  /**
   * Reads {@link #word}.
   *
   * @throws InvalidRequest for any other word
   */
  public static ModelShape ofWord(String word) {
    return Arrays.stream(values())
        .filter(shape -> shape.word.equals(word))
        .findFirst()
        .orElseThrow(() ->
            new InvalidRequest(
                "'%s' is neither a model folder nor a shape; shapes are %s"
                    .formatted(
                        word,
                        Arrays.stream(values())
                            .map(ModelShape::word)
                            .collect(Collectors.joining(", ")))));
  }

  String config() {
    return switch (this) {
      case SMOLLM2_135M ->
          "{\"model_type\": \"llama\", %s}".formatted(TEXT.formatted(30, 1536, 49152));
      case MOE_576X12X16 ->
          "{\"model_type\": \"mixtral\", \"num_local_experts\": 16, \"num_experts_per_tok\": 2, %s}"
              .formatted(TEXT.formatted(12, 512, 49152));
      case MOE_128X4X8 ->
          """
          {"model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2,
           "hidden_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
           "num_hidden_layers": 4, "intermediate_size": 256, "hidden_act": "silu",
           "rms_norm_eps": 1e-5, "rope_theta": 100000.0, "max_position_embeddings": 8192,
           "vocab_size": 4096, "tie_word_embeddings": true}\
          """;
      case SMOLVLM_256M ->
          """
          {"model_type": "idefics3", "image_token_id": 49190, "scale_factor": 4,
           "tie_word_embeddings": true,
           "vision_config": {"model_type": "idefics3_vision", "hidden_size": 768,
            "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
            "image_size": 512, "patch_size": 16},
           "text_config": {"model_type": "llama", %s}}\
          """
              .formatted(TEXT.formatted(30, 1536, 49280));
    };
  }
}
