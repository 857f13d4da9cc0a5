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
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ConfigReaderTest {
  private static final ObjectMapper MAPPER = new ObjectMapper();

  @TempDir Path folder;

  @Test
  void readsTheShippedModelsForm() {
    ModelConfig config = read(CheckpointFixture.config(Form.SCENES));
    VisionConfig vision = config.vision().orElseThrow();
    assertThat(vision.convStem())
        .containsExactly(new ConvLayer(16, 3, 2), new ConvLayer(16, 3, 2), new ConvLayer(64, 3, 2));
    assertThat(vision.convStemActivation()).isEqualTo(Activation.RELU);
    assertThat(vision.grid()).isEqualTo(4);
    assertThat(vision.positions()).isEqualTo(16);
    assertThat(vision.mediaTokens()).isEqualTo(4);
    assertThat(config.tileTokens()).isEqualTo(4);
    assertThat(config.imageTokenId()).isEqualTo(8);
    assertThat(vision.connector()).isEqualTo(new Connector.PixelShuffle(2));
    assertThat(config.eosTokenIds()).containsExactly(5);
    assertThat(config.text())
        .isEqualTo(
            new TextConfig(
                Family.MIXTRAL,
                64,
                2,
                4,
                2,
                16,
                48,
                1e-5f,
                new Rope(10000, new RopeScaling.None()),
                List.of(512, 512),
                512,
                256,
                new Biases(false, false),
                true,
                Optional.of(new MoeConfig(4, 2, 48, true, 1, 0, 0)),
                Optional.empty()));
  }

  /** The keys of HuggingFaceTB/SmolVLM-256M-Instruct that matter. */
  @Test
  void readsSmolVlmAsPublished() throws JsonProcessingException {
    ModelConfig config =
        read(
            json(
                """
                {"architectures": ["Idefics3ForConditionalGeneration"], "image_token_id": 49190,
                 "model_type": "idefics3", "scale_factor": 4, "tie_word_embeddings": false,
                 "text_config": {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
                   "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
                   "max_position_embeddings": 8192, "rms_norm_eps": 1e-05, "rope_theta": 100000,
                   "rope_scaling": null, "vocab_size": 49280, "tie_word_embeddings": false,
                   "use_resampler": false, "qk_layer_norms": false},
                 "vision_config": {"hidden_size": 768, "image_size": 512, "intermediate_size": 3072,
                   "max_image_size": {"longest_edge": 512}, "model_type": "idefics3_vision",
                   "num_attention_heads": 12, "patch_size": 16, "size": {"longest_edge": 2048}}}
                """));
    assertThat(config.vision())
        .contains(
            new VisionConfig(
                VisionTower.SIGLIP,
                768,
                12,
                12,
                3072,
                512,
                16,
                1e-6f,
                Activation.GELU_TANH,
                List.of(),
                Activation.RELU,
                true,
                new Connector.PixelShuffle(4)));
    assertThat(config.tileTokens()).isEqualTo(64);
    assertThat(config.text().headDim()).isEqualTo(64);
    assertThat(config.text().rope().theta()).isEqualTo(100000);
    assertThat(config.text().tiedEmbeddings()).isFalse();
    assertThat(config.text().moe()).isEmpty();
    assertThat(config.eosTokenIds()).isEmpty();
  }

  /** The keys of HuggingFaceTB/SmolVLM2-256M-Video-Instruct that matter. */
  @Test
  void readsSmolVlm2AsPublished() throws JsonProcessingException {
    ModelConfig config =
        read(
            json(
                """
                {"architectures": ["SmolVLMForConditionalGeneration"], "image_token_id": 49190,
                 "model_type": "smolvlm", "pad_token_id": 128002, "scale_factor": 4,
                 "text_config": {"model_type": "llama", "head_dim": 64, "hidden_size": 576,
                   "intermediate_size": 1536, "is_llama_config": true, "mlp_bias": false,
                   "attention_bias": false, "num_attention_heads": 9, "num_hidden_layers": 30,
                   "num_key_value_heads": 3, "max_position_embeddings": 8192, "pixel_shuffle_factor": 4,
                   "rms_norm_eps": 1e-05, "rope_theta": 100000, "rope_scaling": null,
                   "vocab_size": 49280},
                 "tie_word_embeddings": false, "vocab_size": 49280,
                 "vision_config": {"hidden_size": 768, "image_size": 512,
                   "max_image_size": {"longest_edge": 512}, "model_type": "smolvlm_vision",
                   "num_attention_heads": 12, "patch_size": 16, "size": {"longest_edge": 2048},
                   "tie_word_embeddings": false, "use_base_siglip": false}}
                """));
    VisionConfig vision = config.vision().orElseThrow();
    assertThat(vision.layers()).isEqualTo(12);
    assertThat(vision.intermediateSize()).isEqualTo(3072);
    assertThat(config.tileTokens()).isEqualTo(64);
  }

  /** The keys of HuggingFaceTB/SmolVLM-Instruct (2.2B) that matter: 384 is no multiple of 14. */
  @Test
  void readsTheLargestSmolVlmAsPublished() throws JsonProcessingException {
    ModelConfig config =
        read(
            json(
                """
                {"architectures": ["Idefics3ForConditionalGeneration"], "image_token_id": 49153,
                 "model_type": "idefics3", "scale_factor": 3,
                 "text_config": {"model_type": "llama", "head_dim": 64, "hidden_size": 2048,
                   "intermediate_size": 8192, "num_attention_heads": 32, "num_hidden_layers": 24,
                   "num_key_value_heads": 32, "max_position_embeddings": 16384,
                   "rms_norm_eps": 1e-05, "rope_theta": 273768.0, "vocab_size": 49155},
                 "tie_word_embeddings": false,
                 "vision_config": {"hidden_size": 1152, "image_size": 384,
                   "intermediate_size": 4304, "max_image_size": {"longest_edge": 384},
                   "model_type": "idefics3", "num_attention_heads": 16, "num_hidden_layers": 27,
                   "patch_size": 14, "size": {"longest_edge": 1920}}}
                """));
    VisionConfig vision = config.vision().orElseThrow();
    assertThat(vision.layers()).isEqualTo(27);
    assertThat(vision.grid()).isEqualTo(27);
    assertThat(vision.positions()).isEqualTo(729);
    assertThat(vision.connector()).isEqualTo(new Connector.PixelShuffle(3));
    assertThat(config.tileTokens()).isEqualTo(81);
  }

  @Test
  void readsVisionDefaultsOfIdefics3() {
    ObjectNode config = CheckpointFixture.config(Form.IDEFICS3_LLAMA).put("scale_factor", 1);
    config.putObject("vision_config").put("model_type", "idefics3_vision");
    assertThat(read(config).vision())
        .contains(
            new VisionConfig(
                VisionTower.SIGLIP,
                1152,
                12,
                16,
                3072,
                224,
                32,
                1e-6f,
                Activation.GELU_TANH,
                List.of(),
                Activation.RELU,
                true,
                new Connector.PixelShuffle(1)));
  }

  @Test
  void readsTheTextFamilies() {
    assertThat(read(CheckpointFixture.config(Form.LLAMA_TIED)).text().tiedEmbeddings()).isTrue();
    assertThat(read(CheckpointFixture.config(Form.LLAMA_UNTIED)).text().tiedEmbeddings()).isFalse();
    TextConfig qwen = read(CheckpointFixture.config(Form.QWEN2)).text();
    assertThat(qwen.family()).isEqualTo(Family.QWEN2);
    assertThat(qwen.attentionBiases()).isEqualTo(new Biases(true, false));
    TextConfig qwenMoe = read(CheckpointFixture.config(Form.QWEN2_MOE)).text();
    assertThat(qwenMoe.attentionBiases()).isEqualTo(new Biases(true, false));
    assertThat(qwenMoe.moe()).contains(new MoeConfig(4, 2, 48, false, 1, 80, 0));
    ModelConfig mixtral = read(CheckpointFixture.config(Form.MIXTRAL));
    assertThat(mixtral.vision()).isEmpty();
    assertThat(mixtral.imageTokenId()).isEqualTo(-1);
    assertThat(mixtral.tileTokens()).isZero();
    assertThat(mixtral.text().moe()).contains(new MoeConfig(4, 2, 48, true, 1, 0, 0));
  }

  @Test
  void readsDeepseekV2LiteAsPublished() throws JsonProcessingException {
    TextConfig text = read(deepseekV2Lite()).text();
    assertThat(text.family()).isEqualTo(Family.DEEPSEEK_V2);
    assertThat(text.moe()).contains(new MoeConfig(64, 6, 1408, false, 1, 2816, 1));
    assertThat(text.experts(0)).isEmpty();
    assertThat(text.experts(1)).isPresent();
    // mscale(40, 0.707) squared, over the root of 192.
    assertThat(text.latent()).contains(new LatentAttention(0, 512, 128, 64, 128, 0.11472139f));
    assertThat(text.rope().scaling())
        .hasToString(
            "Yarn[factor=40.0, originalContext=4096, fastTurns=32.0, slowTurns=1.0,"
                + " wholePairs=true, magnitude=1.0]");
    assertThat(text.contextTokens()).isEqualTo(163840);
  }

  @ParameterizedTest
  @CsvSource({
    "topk_method,\"group_limited_greedy\"",
    "scoring_func,\"sigmoid\"",
    "moe_layer_freq,2",
    "attention_bias,true"
  })
  void refusesWhatDeepseekV2LiteHasNot(String key, String value) throws JsonProcessingException {
    ObjectNode config = deepseekV2Lite();
    config.set(key, json("{\"value\": %s}".formatted(value)).get("value"));
    assertThatThrownBy(() -> read(config))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining(key)
        .hasMessageContaining(value.replace("\"", ""));
  }

  private static ObjectNode deepseekV2Lite() throws JsonProcessingException {
    return json(
        """
        {"architectures": ["DeepseekV2ForCausalLM"], "attention_bias": false,
         "aux_loss_alpha": 0.001, "bos_token_id": 100000, "eos_token_id": 100001,
         "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048,
         "intermediate_size": 10944, "kv_lora_rank": 512, "max_position_embeddings": 163840,
         "model_type": "deepseek_v2", "moe_intermediate_size": 1408, "moe_layer_freq": 1,
         "n_group": 1, "n_routed_experts": 64, "n_shared_experts": 2, "norm_topk_prob": false,
         "num_attention_heads": 16, "num_experts_per_tok": 6, "num_hidden_layers": 27,
         "num_key_value_heads": 16, "q_lora_rank": null, "qk_nope_head_dim": 128,
         "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06, "rope_theta": 10000,
         "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
           "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096, "type": "yarn"},
         "routed_scaling_factor": 1.0, "scoring_func": "softmax", "tie_word_embeddings": false,
         "topk_group": 1, "topk_method": "greedy", "v_head_dim": 128, "vocab_size": 102400}
        """);
  }

  @Test
  void readsNewerRopeParameters() {
    ObjectNode config = CheckpointFixture.config(Form.LLAMA_TIED);
    config.remove("rope_theta");
    config.putObject("rope_parameters").put("rope_type", "default").put("rope_theta", 50000);
    assertThat(read(config).text().rope().theta()).isEqualTo(50000);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{\"type\":\"linear\",\"factor\":4} | Linear[factor=4.0] | 512",
        "{\"type\":\"dynamic\",\"factor\":4} | None[] | 512",
        "{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4,"
            + "\"original_max_position_embeddings\":128}"
            + " | Llama3[factor=8.0, lowFrequency=1.0, highFrequency=4.0, originalContext=128] | 512",
        "{\"type\":\"yarn\",\"factor\":4} | Yarn[factor=4.0, originalContext=512, fastTurns=32.0,"
            + " slowTurns=1.0, wholePairs=true, magnitude=1.138629436111989] | 2048",
        "{\"type\":\"yarn\",\"original_max_position_embeddings\":256,\"mscale\":0.7,"
            + "\"mscale_all_dim\":0.7} | Yarn[factor=2.0, originalContext=256, fastTurns=32.0,"
            + " slowTurns=1.0, wholePairs=true, magnitude=1.0] | 512",
      })
  void readsRopeScaling(String written, String scaling, int context)
      throws JsonProcessingException {
    ObjectNode config = CheckpointFixture.config(Form.LLAMA_TIED);
    config.set("rope_scaling", MAPPER.readTree(written));
    assertThat(read(config).text().rope().scaling()).hasToString(scaling);
    assertThat(read(config).text().contextTokens()).isEqualTo(context);
  }

  @Test
  void readsSlidingWindows() throws JsonProcessingException {
    ObjectNode qwen = CheckpointFixture.config(Form.QWEN2);
    qwen.put("use_sliding_window", true).put("sliding_window", 100).put("max_window_layers", 1);
    assertThat(read(qwen).text().windows()).containsExactly(512, 100);
    qwen.set("layer_types", MAPPER.readTree("[\"sliding_attention\", \"full_attention\"]"));
    assertThat(read(qwen).text().windows()).containsExactly(100, 512);
    ObjectNode mixtral = CheckpointFixture.config(Form.MIXTRAL).put("sliding_window", 64);
    assertThat(read(mixtral).text().windows()).containsExactly(64, 64);
    ObjectNode mistral = CheckpointFixture.config(Form.LLAMA_TIED).put("model_type", "mistral");
    mistral.put("max_position_embeddings", 8192);
    assertThat(read(mistral).text().windows()).containsExactly(4096, 4096);
    mistral.putNull("sliding_window");
    assertThat(read(mistral).text().windows()).containsExactly(8192, 8192);
  }

  @Test
  void endTokensComeFromTheGenerationConfigFirst() throws JsonProcessingException {
    CheckpointFixture.writeJson(
        folder.resolve("generation_config.json"), json("{\"eos_token_id\": [7, 5]}"));
    assertThat(read(CheckpointFixture.config(Form.SCENES)).eosTokenIds()).isEqualTo(Set.of(5, 7));
  }

  @Test
  void endTokensOfTheTextConfigAreTheLastResort() {
    ObjectNode config = CheckpointFixture.config(Form.SCENES);
    config.remove("eos_token_id");
    assertThat(read(config).eosTokenIds()).containsExactly(5);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "LLAMA_TIED | hidden_size | 0 | hidden_size is 0, expected a whole number above 0",
        "LLAMA_TIED | hidden_size | -64 | hidden_size is -64, expected a whole number above 0",
        "LLAMA_TIED | hidden_size | 64.5 | hidden_size is 64.5, expected a whole number",
        "LLAMA_TIED | hidden_size | null | hidden_size is missing",
        "LLAMA_TIED | hidden_size | 66 | hidden_size = 66 is not a multiple of num_attention_heads",
        "LLAMA_TIED | vocab_size | \"many\" | vocab_size is \"many\", expected a whole number",
        "LLAMA_TIED | vocab_size | 99999999999 | vocab_size is 99999999999, expected a whole number",
        "LLAMA_TIED | num_key_value_heads | 3 | is not a multiple of num_key_value_heads = 3",
        "LLAMA_TIED | head_dim | 23 | head_dim = 23 is odd",
        "LLAMA_TIED | hidden_act | \"tanh\" | hidden_act = \"tanh\" is not supported; supported: silu",
        "MIXTRAL | attention_bias | true | attention_bias = true is not supported",
        "LLAMA_TIED | mlp_bias | true | mlp_bias = true is not supported",
        "LLAMA_TIED | rope_theta | -1 | rope_theta = -1.0, expected a number above 0",
        "LLAMA_TIED | tie_word_embeddings | 1 | tie_word_embeddings is 1, expected true or false",
        "LLAMA_TIED | partial_rotary_factor | 0.5 | partial_rotary_factor = 0.5 is not supported",
        "LLAMA_TIED | sliding_window | 64 | sliding_window = 64 is not supported; supported: null",
        "LLAMA_TIED | rope_scaling | {\"type\":\"su\"} | rope_scaling.type = \"su\" is not supported;"
            + " supported: default, linear, dynamic, llama3, yarn",
        "LLAMA_TIED | rope_scaling | {\"type\":\"linear\"} | rope_scaling.factor is null, expected",
        "LLAMA_TIED | rope_scaling | {\"rope_type\":\"linear\",\"factor\":0.5}"
            + " | rope_scaling.factor is 0.5, expected a number of at least 1",
        "LLAMA_TIED | rope_scaling | {\"type\":\"default\",\"mrope_section\":[1]}"
            + " | rope_scaling.mrope_section = [1] is not supported",
        "LLAMA_TIED | rope_scaling | {\"type\":\"yarn\",\"factor\":2,\"beta_fast\":0.5}"
            + " | rope_scaling.beta_fast is 0.5, expected a number above 1",
        "LLAMA_TIED | rope_scaling | {\"type\":\"yarn\",\"factor\":2,\"attention_factor\":0}"
            + " | rope_scaling.attention_factor is 0, expected a number above 0",
        "LLAMA_TIED | rope_scaling | {\"type\":\"llama3\",\"factor\":8}"
            + " | rope_scaling.low_freq_factor is null, expected a number above 0",
        "LLAMA_TIED | rope_scaling | {\"type\":\"dynamic\",\"original_max_position_embeddings\":256}"
            + " | original_max_position_embeddings = 256 is not supported; supported: max_position",
        "LLAMA_TIED | layer_types | [\"sliding_attention\",\"full_attention\"]"
            + " | is not supported; supported: full_attention",
        "LLAMA_TIED | layer_types | [\"full_attention\"] | expected a list of 2 names",
        "LLAMA_TIED | quantization_config | {\"bits\":4} | quantization_config = {\"bits\":4} is not",
        "QWEN2_MOE | use_sliding_window | true | use_sliding_window = true is not supported",
        "MIXTRAL | num_experts_per_tok | 5 | num_experts_per_tok = 5 is more than the 4 experts",
        "MIXTRAL | norm_topk_prob | false | norm_topk_prob = false is not supported",
        "QWEN2_MOE | decoder_sparse_step | 2 | decoder_sparse_step = 2 is not supported",
        "QWEN2_MOE | mlp_only_layers | [0] | mlp_only_layers = [0] is not supported",
        "QWEN2_MOE | shared_expert_intermediate_size | -1 | expected 0 or more",
        "SCENES | image_token_id | 256 | image_token_id is 256, expected a token of the vocabulary",
        "SCENES | image_token_id | null | image_token_id is missing",
        "SCENES | scale_factor | 3 | scale_factor = 3 does not divide the 4 patches",
        "SCENES | vision_config | null | vision_config is missing",
        "SCENES | vision_config | [] | vision_config is [], expected an object",
        "SCENES | text_config | null | text_config is missing",
        "SCENES | eos_token_id | \"</s>\" | eos_token_id is \"</s>\", expected a token id",
      })
  void tellsWhichKeyIsWrong(Form form, String key, String value, String message)
      throws JsonProcessingException {
    ObjectNode config = CheckpointFixture.config(form);
    config.set(key, MAPPER.readTree(value));
    assertBad(config, message);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "vision_config | hidden_act | \"mish\" | vision_config.hidden_act = \"mish\" is not supported;"
            + " supported: gelu, gelu_new,",
        "vision_config | num_channels | 1 | vision_config.num_channels = 1 is not supported",
        "vision_config | hidden_size | 66 | vision_config: hidden_size = 66 is not a multiple of",
        "vision_config | image_size | 30 | image_size = 30 is not a multiple of patch_size = 8",
        "vision_config | conv_stem | 7 | vision_config.conv_stem is 7, expected a list of objects",
        "vision_config | conv_stem | [{}] | vision_config.conv_stem[0].out_channels is missing",
        "vision_config | conv_stem | [{\"out_channels\":64,\"kernel_size\":3,\"stride\":4}]"
            + " | the strides of conv_stem multiply to 4, expected patch_size = 8",
        "vision_config | conv_stem | [{\"out_channels\":32,\"kernel_size\":3,\"stride\":8}]"
            + " | the last layer of conv_stem has out_channels = 32, expected hidden_size = 64",
        "vision_config | conv_stem | [{\"out_channels\":64,\"kernel_size\":4,\"stride\":8}]"
            + " | conv_stem[0].kernel_size = 4 is not supported",
        "text_config | model_type | \"gemma\" | text_config.model_type = \"gemma\" is not supported",
        "text_config | hidden_act | \"gelu\" | text_config.hidden_act = \"gelu\" is not supported",
      })
  void tellsWhichNestedKeyIsWrong(String object, String key, String value, String message)
      throws JsonProcessingException {
    ObjectNode config = CheckpointFixture.config(Form.SCENES);
    ((ObjectNode) config.get(object)).set(key, MAPPER.readTree(value));
    assertBad(config, message);
  }

  private void assertBad(ObjectNode config, String message) {
    assertThatThrownBy(() -> read(config))
        .isInstanceOf(BadCheckpoint.class)
        .hasMessageContaining(folder.resolve("config.json").toString())
        .hasMessageContaining(message);
  }

  private static ObjectNode json(String text) throws JsonProcessingException {
    return (ObjectNode) MAPPER.readTree(text);
  }

  private ModelConfig read(ObjectNode config) {
    CheckpointFixture.writeJson(folder.resolve("config.json"), config);
    return ConfigReader.read(folder);
  }
}
