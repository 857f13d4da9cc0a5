package io.epidote.engine.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.CheckpointFixture.Form;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** LLaVA's configs, and what of them is refused. */
class LlavaConfigTest {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  @TempDir Path folder;

  /** The keys of llava-hf/llava-1.5-7b-hf that matter; the text model's sizes are not in it. */
  @Test
  void readsLlava15AsPublished() throws JsonProcessingException {
    ModelConfig config =
        read(
            """
            {"architectures": ["LlavaForConditionalGeneration"], "ignore_index": -100,
             "image_seq_length": 576, "image_token_index": 32000, "model_type": "llava",
             "pad_token_id": 32001, "projector_hidden_act": "gelu",
             "text_config": {"_name_or_path": "lmsys/vicuna-7b-v1.5", "model_type": "llama",
               "max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "vocab_size": 32064},
             "tie_word_embeddings": false,
             "vision_config": {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096,
               "model_type": "clip_vision_model", "num_attention_heads": 16,
               "num_hidden_layers": 24, "patch_size": 14, "projection_dim": 768,
               "vocab_size": 32000},
             "vision_feature_layer": -2, "vision_feature_select_strategy": "default"}
            """);
    assertThat(config.vision())
        .contains(
            new VisionConfig(
                VisionTower.CLIP,
                1024,
                23,
                16,
                4096,
                336,
                14,
                1e-5f,
                Activation.QUICK_GELU,
                List.of(),
                Activation.RELU,
                false,
                new Connector.Mlp(Activation.GELU, true, true)));
    assertThat(config.tileTokens()).isEqualTo(576);
    assertThat(config.imageTokenId()).isEqualTo(32000);
    assertThat(config.text().hiddenSize()).isEqualTo(4096);
    assertThat(config.text().layers()).isEqualTo(32);
    assertThat(config.text().kvHeads()).isEqualTo(32);
    assertThat(config.text().intermediateSize()).isEqualTo(11008);
    assertThat(config.text().contextTokens()).isEqualTo(4096);
    assertThat(config.text().tiedEmbeddings()).isFalse();
  }

  /** The keys of llava-hf/llava-interleave-qwen-0.5b-hf that matter. */
  @Test
  void readsLlavaInterleaveAsPublished() throws JsonProcessingException {
    ModelConfig config =
        read(
            """
            {"architectures": ["LlavaForConditionalGeneration"], "image_token_index": 151646,
             "model_type": "llava", "projector_hidden_act": "gelu", "tie_word_embeddings": true,
             "text_config": {"hidden_size": 1024, "intermediate_size": 2816, "model_type": "qwen2",
               "max_position_embeddings": 32768, "max_window_layers": 21,
               "num_attention_heads": 16, "num_hidden_layers": 24, "num_key_value_heads": 16,
               "rope_theta": 1000000.0, "sliding_window": null, "tie_word_embeddings": true,
               "vocab_size": 152000},
             "vision_config": {"hidden_size": 1152, "image_size": 384, "intermediate_size": 4304,
               "model_type": "siglip_vision_model", "num_attention_heads": 16,
               "num_hidden_layers": 26, "patch_size": 14, "vision_use_head": false},
             "vision_feature_layer": -1, "vision_feature_select_strategy": "full"}
            """);
    VisionConfig vision = config.vision().orElseThrow();
    assertThat(vision.tower()).isEqualTo(VisionTower.SIGLIP);
    assertThat(vision.layers()).isEqualTo(26);
    assertThat(vision.activation()).isEqualTo(Activation.GELU_TANH);
    assertThat(vision.postNorm()).isFalse();
    assertThat(vision.connector()).isEqualTo(new Connector.Mlp(Activation.GELU, true, false));
    assertThat(config.tileTokens()).isEqualTo(729);
    assertThat(config.text().family()).isEqualTo(Family.QWEN2);
    assertThat(config.text().tiedEmbeddings()).isTrue();
  }

  /** Mistral's sizes where a LLaVA config leaves them out. */
  @Test
  void readsMistralInside() {
    ObjectNode config = CheckpointFixture.config(Form.LLAVA_CLIP);
    config.putObject("text_config").put("model_type", "mistral");
    TextConfig text = read(config).text();
    assertThat(text.kvHeads()).isEqualTo(8);
    assertThat(text.intermediateSize()).isEqualTo(14336);
    assertThat(text.vocabulary()).isEqualTo(32000);
  }

  @ParameterizedTest
  @CsvSource({"-2, 2", "-1, 3", "2, 2", "-3, 1"})
  void countsTheLayersBeforeTheOneThatIsUsed(int key, int layers) {
    ObjectNode config = CheckpointFixture.config(Form.LLAVA_CLIP).put("vision_feature_layer", key);
    assertThat(read(config).vision().orElseThrow().layers()).isEqualTo(layers);
  }

  @Test
  void refusesByName() {
    refused(config -> config.putArray("vision_feature_layer").add(-2).add(-5), "[-2,-5]");
    refused(config -> config.put("vision_feature_layer", -4), "vision_feature_layer is -4");
    refused(config -> config.put("vision_feature_layer", 0), "vision_feature_layer is 0");
    refused(
        config -> config.put("vision_feature_select_strategy", "cls"),
        "vision_feature_select_strategy = \"cls\"");
    refused(
        config -> config.put("projector_hidden_act", "mish"), "projector_hidden_act = \"mish\"");
    refused(
        config -> ((ObjectNode) config.get("vision_config")).put("model_type", "pixtral"),
        "vision_config.model_type = \"pixtral\"");
    refused(
        config -> ((ObjectNode) config.get("text_config")).put("model_type", "gemma"),
        "text_config.model_type = \"gemma\"");
    refused(config -> config.put("model_type", "llava_next"), "model_type = \"llava_next\"");
    refused(config -> config.put("image_token_id", CheckpointFixture.VOCABULARY), "image_token_id");
    refused(
        config -> ((ObjectNode) config.get("vision_config")).put("image_size", 8),
        "image_size = 8 is less than patch_size = 16");
  }

  private interface Change {
    void to(ObjectNode config);
  }

  private void refused(Change change, String message) {
    ObjectNode config = CheckpointFixture.config(Form.LLAVA_CLIP);
    change.to(config);
    assertThatThrownBy(() -> read(config))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining(message);
  }

  private ModelConfig read(String json) throws JsonProcessingException {
    return read((ObjectNode) MAPPER.readTree(json));
  }

  private ModelConfig read(ObjectNode config) {
    CheckpointFixture.writeJson(folder.resolve("config.json"), config);
    return ConfigReader.read(folder);
  }
}
