package io.epidote.engine.reference;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.util.Locale;
import java.util.SplittableRandom;

/** The checkpoints of the reference check that have a vision tower. */
enum VisionReferenceModel {
  /** A grid of nine patches as SmolVLM 2.2B has one of 27: two pixels of a tile are not seen. */
  IDEFICS3(
      1,
      "model.text_model.",
      "lm_head",
      "model.vision_model.",
      "model.connector.modality_projection.",
      """
      {"model_type": "idefics3", "scale_factor": 3,
       "vision_config": {"model_type": "idefics3_vision", "hidden_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96,
        "image_size": 128, "patch_size": 14, "layer_norm_eps": 1e-6},
       "text_config": {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 512}}\
      """),
  LLAVA_CLIP(
      1,
      "model.language_model.",
      "lm_head",
      "model.vision_tower.vision_model.",
      "model.multi_modal_projector.",
      """
      {"model_type": "llava", "vision_feature_layer": -2, "vision_feature_select_strategy": "full",
       "projector_hidden_act": "gelu_pytorch_tanh",
       "vision_config": {"model_type": "clip_vision_model", "hidden_size": 64,
        "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96,
        "image_size": 64, "patch_size": 16, "layer_norm_eps": 1e-5},
       "text_config": {"model_type": "qwen2", "hidden_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 128,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "max_position_embeddings": 512}}\
      """),
  LLAVA_SIGLIP(
      1,
      "language_model.model.",
      "language_model.lm_head",
      "vision_tower.vision_model.",
      "multi_modal_projector.",
      """
      {"model_type": "llava", "vision_feature_layer": -2, "vision_feature_select_strategy": "full",
       "projector_hidden_act": "gelu_pytorch_tanh",
       "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 72,
        "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 96,
        "image_size": 60, "patch_size": 14, "layer_norm_eps": 1e-6},
       "text_config": {"model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128,
        "sliding_window": null, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "max_position_embeddings": 512}}\
      """);

  static final int IMAGE_TOKEN = 511;

  private static final long TILE_SEED = 7;
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private final long seed;
  private final String text;
  private final String head;
  private final String vision;
  private final String connector;
  private final String config;

  VisionReferenceModel(
      long seed, String text, String head, String vision, String connector, String config) {
    this.seed = seed;
    this.text = text;
    this.head = head;
    this.vision = vision;
    this.connector = connector;
    this.config = config;
  }

  /** Of the folder and of the golden file. */
  String word() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }

  long seed() {
    return seed;
  }

  /** Before the text model's tensors. */
  String text() {
    return text;
  }

  /** The head's module. */
  String head() {
    return head;
  }

  /** Before the tower's tensors. */
  String vision() {
    return vision;
  }

  /** Before the connector's tensors. */
  String connector() {
    return connector;
  }

  ObjectNode config() {
    try {
      ObjectNode node = (ObjectNode) MAPPER.readTree(config);
      node.put("image_token_id", IMAGE_TOKEN).put("tie_word_embeddings", false);
      ((ObjectNode) node.get("text_config"))
          .put("vocab_size", ReferenceModel.VOCABULARY)
          .put("tie_word_embeddings", false);
      return node;
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("the config of " + name() + " is not JSON", e);
    }
  }

  /** The tile that is looked at, {@code [3, size, size]}: bytes, normalised around one half. */
  FloatBuffer tile() {
    int size = config().get("vision_config").get("image_size").intValue();
    SplittableRandom random = new SplittableRandom(TILE_SEED);
    FloatBuffer tile = FloatBuffer.allocate(3 * size * size);
    while (tile.hasRemaining()) {
      tile.put(random.nextInt(256) / 127.5f - 1);
    }
    return tile.flip();
  }

  /** What the other implementation answered. */
  VisionGolden golden() {
    try (var in = VisionReferenceModel.class.getResourceAsStream("/golden/" + word() + ".json")) {
      return MAPPER.readValue(in, VisionGolden.class);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
