package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.checkpoint.SafetensorsWriter.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * Writes small model folders with random weights, one for each family and form that the engine
 * loads: hidden 64, two layers, 256 tokens, tiles of 32 pixels that become four media tokens.
 */
public final class CheckpointFixture {
  /** The forms to write. */
  public enum Form {
    /** The shipped model's form: convolutional stem and Mixtral's decoder, tied. */
    SCENES,
    /** SmolVLM's form: patch embedding and Llama's decoder, untied. */
    IDEFICS3_LLAMA,
    /** CLIP tower without its last layer, class token dropped, Qwen2's decoder, newer names. */
    LLAVA_CLIP,
    /** SigLIP tower, all positions, no biases in the projector, Llama's decoder, older names. */
    LLAVA_SIGLIP,
    LLAMA_TIED,
    LLAMA_UNTIED,
    /** With a bias on each of attention's linear layers. */
    LLAMA_BIASES,
    /** With a sliding window of 20 tokens in every layer. */
    MISTRAL,
    QWEN2,
    /** With a sliding window of 9 tokens in the second layer. */
    QWEN2_WINDOW,
    MIXTRAL,
    QWEN2_MOE,
    /** Latent attention, YaRN, a dense first layer, then experts beside shared ones. */
    DEEPSEEK_V2,
    /** With a latent vector of the queries too, plain RoPE and normalised gates. */
    DEEPSEEK_V2_QUERY_RANK;

    /** Whether the form takes pictures. */
    public boolean multimodal() {
      return this == SCENES || this == IDEFICS3_LLAMA || llava();
    }

    private boolean llava() {
      return this == LLAVA_CLIP || this == LLAVA_SIGLIP;
    }

    private String textPrefix() {
      return switch (this) {
        case SCENES, IDEFICS3_LLAMA -> "model.text_model.";
        case LLAVA_CLIP -> "model.language_model.";
        case LLAVA_SIGLIP -> "language_model.model.";
        default -> "model.";
      };
    }

    private String visionPrefix() {
      return switch (this) {
        case LLAVA_CLIP -> "model.vision_tower.vision_model.";
        case LLAVA_SIGLIP -> "vision_tower.vision_model.";
        default -> "model.vision_model.";
      };
    }

    private boolean tied() {
      return this == SCENES || this == LLAMA_TIED || this == QWEN2;
    }
  }

  public static final int HIDDEN = 64;
  public static final int LAYERS = 2;
  public static final int VOCABULARY = 256;
  public static final int EOS = 5;
  public static final int IMAGE = 8;
  public static final String CHAT_TEMPLATE =
      "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
          + "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
          + "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}"
          + "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
          + "{{ '<end_of_utterance>' }}{% endfor %}"
          + "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

  private static final int HEADS = 4;
  private static final int KV_HEADS = 2;
  private static final int HEAD_DIM = 16;
  private static final int INTERMEDIATE = 96;
  private static final int QUERY_RANK = 40;
  private static final int LATENT_RANK = 24;
  private static final int ROTARY = 8;
  private static final int VALUE_DIM = 12;
  private static final int EXPERTS = 4;
  private static final int EXPERT_INTERMEDIATE = 48;
  private static final int SHARED_INTERMEDIATE = 80;
  private static final int VISION_HIDDEN = 64;
  private static final int VISION_INTERMEDIATE = 96;
  private static final int IMAGE_SIZE = 32;
  private static final int PATCH = 8;
  private static final int STEM_CHANNELS = 16;
  private static final ObjectMapper MAPPER = new ObjectMapper();

  private CheckpointFixture() {}

  /** Writes a whole folder with F32 weights in one file. */
  public static Path write(Form form, Path folder, long seed) {
    return write(form, folder, tensors(form, seed));
  }

  /** Likewise with these tensors. */
  public static Path write(Form form, Path folder, Map<String, Tensor> tensors) {
    writeJson(folder.resolve("config.json"), config(form));
    writeJson(
        folder.resolve("generation_config.json"),
        MAPPER.createObjectNode().put("eos_token_id", EOS).put("pad_token_id", 0));
    writeTokenizer(folder);
    if (form.multimodal()) {
      writeJson(
          folder.resolve("preprocessor_config.json"),
          form.llava() ? clipPreprocessorConfig(form) : preprocessorConfig());
    }
    SafetensorsWriter.write(folder.resolve("model.safetensors"), tensors, DType.F32);
    return folder;
  }

  /** Writes the weights over several files with an index, in place of the single one. */
  public static void shard(Path folder, Map<String, Tensor> tensors, int shards) {
    try {
      Files.deleteIfExists(folder.resolve("model.safetensors"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    List<Map<String, Tensor>> parts = new ArrayList<>();
    for (int i = 0; i < shards; i++) {
      parts.add(new LinkedHashMap<>());
    }
    ObjectNode index = MAPPER.createObjectNode();
    ObjectNode weightMap = index.putObject("weight_map");
    int next = 0;
    for (Map.Entry<String, Tensor> entry : tensors.entrySet()) {
      int shard = next++ % shards;
      parts.get(shard).put(entry.getKey(), entry.getValue());
      weightMap.put(entry.getKey(), shardName(shard, shards));
    }
    for (int i = 0; i < shards; i++) {
      SafetensorsWriter.write(folder.resolve(shardName(i, shards)), parts.get(i), DType.F32);
    }
    writeJson(folder.resolve("model.safetensors.index.json"), index);
  }

  private static String shardName(int shard, int shards) {
    return "model-%05d-of-%05d.safetensors".formatted(shard + 1, shards);
  }

  /** The form's config.json, to be changed at will before it is written. */
  public static ObjectNode config(Form form) {
    ObjectNode text = MAPPER.createObjectNode();
    text.put("hidden_size", HIDDEN)
        .put("num_hidden_layers", LAYERS)
        .put("num_attention_heads", HEADS)
        .put("num_key_value_heads", KV_HEADS)
        .put("intermediate_size", INTERMEDIATE)
        .put("hidden_act", "silu")
        .put("rms_norm_eps", 1e-5)
        .put("rope_theta", 10000.0)
        .put("max_position_embeddings", 512)
        .put("vocab_size", VOCABULARY)
        .put("eos_token_id", EOS)
        .put("tie_word_embeddings", form.tied());
    switch (form) {
      case SCENES, MIXTRAL ->
          text.put("model_type", "mixtral")
              .put("num_local_experts", EXPERTS)
              .put("num_experts_per_tok", 2)
              .put("intermediate_size", EXPERT_INTERMEDIATE)
              .put("head_dim", HEAD_DIM);
      case IDEFICS3_LLAMA, LLAVA_SIGLIP, LLAMA_TIED, LLAMA_UNTIED ->
          text.put("model_type", "llama");
      case LLAMA_BIASES -> text.put("model_type", "llama").put("attention_bias", true);
      case MISTRAL -> text.put("model_type", "mistral").put("sliding_window", 20);
      case QWEN2_WINDOW ->
          text.put("model_type", "qwen2")
              .put("use_sliding_window", true)
              .put("sliding_window", 9)
              .put("max_window_layers", 1);
      case QWEN2, LLAVA_CLIP -> text.put("model_type", "qwen2").put("use_sliding_window", false);
      case QWEN2_MOE ->
          text.put("model_type", "qwen2_moe")
              .put("num_experts", EXPERTS)
              .put("num_experts_per_tok", 2)
              .put("moe_intermediate_size", EXPERT_INTERMEDIATE)
              .put("shared_expert_intermediate_size", SHARED_INTERMEDIATE)
              .put("norm_topk_prob", false);
      case DEEPSEEK_V2, DEEPSEEK_V2_QUERY_RANK -> deepseek(form, text);
    }
    if (form.llava()) {
      return llavaConfig(form, text);
    }
    return form.multimodal() ? multimodalConfig(form, text) : text;
  }

  private static void deepseek(Form form, ObjectNode text) {
    boolean queryRank = form == Form.DEEPSEEK_V2_QUERY_RANK;
    text.put("model_type", "deepseek_v2")
        .put("num_key_value_heads", HEADS)
        .put("q_lora_rank", queryRank ? QUERY_RANK : null)
        .put("kv_lora_rank", LATENT_RANK)
        .put("qk_nope_head_dim", HEAD_DIM)
        .put("qk_rope_head_dim", ROTARY)
        .put("v_head_dim", VALUE_DIM)
        .put("n_routed_experts", EXPERTS)
        .put("n_shared_experts", 2)
        .put("num_experts_per_tok", 2)
        .put("moe_intermediate_size", EXPERT_INTERMEDIATE)
        .put("first_k_dense_replace", 1)
        .put("routed_scaling_factor", 2.5)
        .put("norm_topk_prob", queryRank)
        .put("topk_method", "greedy");
    if (!queryRank) {
      text.putObject("rope_scaling")
          .put("type", "yarn")
          .put("factor", 4)
          .put("original_max_position_embeddings", 128)
          .put("mscale", 1.5)
          .put("mscale_all_dim", 0.7);
    }
  }

  private static ObjectNode multimodalConfig(Form form, ObjectNode text) {
    ObjectNode config = MAPPER.createObjectNode();
    config
        .put("model_type", "idefics3")
        .put("image_token_id", IMAGE)
        .put("eos_token_id", EOS)
        .put("scale_factor", 2)
        .put("tie_word_embeddings", form.tied());
    ObjectNode vision = config.putObject("vision_config");
    vision
        .put("model_type", "idefics3_vision")
        .put("hidden_size", VISION_HIDDEN)
        .put("num_hidden_layers", LAYERS)
        .put("num_attention_heads", HEADS)
        .put("intermediate_size", VISION_INTERMEDIATE)
        .put("image_size", IMAGE_SIZE)
        .put("patch_size", PATCH)
        .put("hidden_act", "gelu_pytorch_tanh");
    if (form == Form.SCENES) {
      int[][] layers = {{STEM_CHANNELS, 2}, {STEM_CHANNELS, 2}, {VISION_HIDDEN, 2}};
      for (int[] layer : layers) {
        vision
            .withArray("conv_stem")
            .addObject()
            .put("out_channels", layer[0])
            .put("kernel_size", 3)
            .put("stride", layer[1]);
      }
      vision.put("conv_stem_act", "relu");
    }
    config.set("text_config", text);
    return config;
  }

  private static ObjectNode llavaConfig(Form form, ObjectNode text) {
    boolean clip = form == Form.LLAVA_CLIP;
    ObjectNode config = MAPPER.createObjectNode();
    config
        .put("model_type", "llava")
        .put(clip ? "image_token_id" : "image_token_index", IMAGE)
        .put("vision_feature_layer", clip ? -2 : -1)
        .put("vision_feature_select_strategy", clip ? "default" : "full")
        .put("projector_hidden_act", "gelu")
        .put("multimodal_projector_bias", clip);
    config
        .putObject("vision_config")
        .put("model_type", clip ? "clip_vision_model" : "siglip_vision_model")
        .put("hidden_size", VISION_HIDDEN)
        .put("num_hidden_layers", clip ? LAYERS + 1 : LAYERS)
        .put("num_attention_heads", HEADS)
        .put("intermediate_size", VISION_INTERMEDIATE)
        .put("image_size", IMAGE_SIZE)
        .put("patch_size", 2 * PATCH);
    config.set("text_config", text);
    return config;
  }

  /** One tile of 32 pixels. */
  private static ObjectNode clipPreprocessorConfig(Form form) {
    ObjectNode node = MAPPER.createObjectNode().put("resample", 3);
    if (form == Form.LLAVA_SIGLIP) {
      node.put("image_processor_type", "SiglipImageProcessor");
      node.putObject("size").put("height", IMAGE_SIZE).put("width", IMAGE_SIZE);
    } else {
      node.put("image_processor_type", "CLIPImageProcessor");
      node.putObject("size").put("shortest_edge", IMAGE_SIZE);
      node.putObject("crop_size").put("height", IMAGE_SIZE).put("width", IMAGE_SIZE);
    }
    return node;
  }

  /** Tiles of 32 pixels, pictures of at most 64 along the longest edge. */
  public static ObjectNode preprocessorConfig() {
    ObjectNode node = MAPPER.createObjectNode();
    node.put("image_processor_type", "Idefics3ImageProcessor")
        .put("do_convert_rgb", true)
        .put("do_resize", true)
        .put("resample", 1)
        .put("do_image_splitting", true)
        .put("do_rescale", true)
        .put("rescale_factor", 1 / 255.0)
        .put("do_normalize", true)
        .put("upscale", false);
    node.putObject("size").put("longest_edge", 2 * IMAGE_SIZE);
    node.putObject("max_image_size").put("longest_edge", IMAGE_SIZE);
    for (String key : List.of("image_mean", "image_std")) {
      node.putArray(key).add(0.5).add(0.5).add(0.5);
    }
    return node;
  }

  /** Every tensor of the form, in the order of the layers. */
  public static Map<String, Tensor> tensors(Form form, long seed) {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    Random random = new Random(seed);
    if (form.multimodal()) {
      visionTensors(tensors, random, form);
    }
    textTensors(tensors, random, form, form.textPrefix());
    if (!form.tied()) {
      String head = form == Form.LLAVA_SIGLIP ? "language_model.lm_head.weight" : "lm_head.weight";
      put(tensors, random, head, VOCABULARY, HIDDEN);
    }
    return tensors;
  }

  private static void visionTensors(Map<String, Tensor> tensors, Random random, Form form) {
    String vision = form.visionPrefix();
    int hidden = VISION_HIDDEN;
    int patch = form.llava() ? 2 * PATCH : PATCH;
    int positions = (IMAGE_SIZE / patch) * (IMAGE_SIZE / patch);
    if (form == Form.SCENES) {
      int[] channels = {3, STEM_CHANNELS, STEM_CHANNELS, hidden};
      for (int i = 0; i + 1 < channels.length; i++) {
        String conv = vision + "embeddings.conv_stem." + i;
        put(tensors, random, conv + ".weight", channels[i + 1], channels[i], 3, 3);
        put(tensors, random, conv + ".bias", channels[i + 1]);
      }
    } else {
      put(tensors, random, vision + "embeddings.patch_embedding.weight", hidden, 3, patch, patch);
      if (form == Form.LLAVA_CLIP) {
        positions++;
        put(tensors, random, vision + "embeddings.class_embedding", hidden);
        norm(tensors, random, vision + "pre_layrnorm.weight", hidden);
        put(tensors, random, vision + "pre_layrnorm.bias", hidden);
      } else {
        put(tensors, random, vision + "embeddings.patch_embedding.bias", hidden);
      }
    }
    put(tensors, random, vision + "embeddings.position_embedding.weight", positions, hidden);
    for (int l = 0; l < LAYERS; l++) {
      String layer = vision + "encoder.layers." + l + ".";
      norm(tensors, random, layer + "layer_norm1.weight", hidden);
      put(tensors, random, layer + "layer_norm1.bias", hidden);
      for (String name : List.of("q_proj", "k_proj", "v_proj", "out_proj")) {
        put(tensors, random, layer + "self_attn." + name + ".weight", hidden, hidden);
        put(tensors, random, layer + "self_attn." + name + ".bias", hidden);
      }
      norm(tensors, random, layer + "layer_norm2.weight", hidden);
      put(tensors, random, layer + "layer_norm2.bias", hidden);
      put(tensors, random, layer + "mlp.fc1.weight", VISION_INTERMEDIATE, hidden);
      put(tensors, random, layer + "mlp.fc1.bias", VISION_INTERMEDIATE);
      put(tensors, random, layer + "mlp.fc2.weight", hidden, VISION_INTERMEDIATE);
      put(tensors, random, layer + "mlp.fc2.bias", hidden);
    }
    if (form.llava()) {
      String projector =
          form == Form.LLAVA_CLIP ? "model.multi_modal_projector." : "multi_modal_projector.";
      for (int i = 1; i <= 2; i++) {
        put(tensors, random, projector + "linear_" + i + ".weight", HIDDEN, hidden);
        if (form == Form.LLAVA_CLIP) {
          put(tensors, random, projector + "linear_" + i + ".bias", HIDDEN);
        }
      }
      return;
    }
    norm(tensors, random, vision + "post_layernorm.weight", hidden);
    put(tensors, random, vision + "post_layernorm.bias", hidden);
    put(tensors, random, "model.connector.modality_projection.proj.weight", HIDDEN, 4 * hidden);
  }

  private static void textTensors(
      Map<String, Tensor> tensors, Random random, Form form, String prefix) {
    put(tensors, random, prefix + "embed_tokens.weight", VOCABULARY, HIDDEN);
    for (int l = 0; l < LAYERS; l++) {
      String layer = prefix + "layers." + l + ".";
      norm(tensors, random, layer + "input_layernorm.weight", HIDDEN);
      if (form == Form.DEEPSEEK_V2 || form == Form.DEEPSEEK_V2_QUERY_RANK) {
        latentAttention(tensors, random, form, layer + "self_attn.");
      } else {
        attention(tensors, random, form, layer + "self_attn.");
      }
      norm(tensors, random, layer + "post_attention_layernorm.weight", HIDDEN);
      switch (form) {
        case SCENES, MIXTRAL -> {
          put(tensors, random, layer + "block_sparse_moe.gate.weight", EXPERTS, HIDDEN);
          for (int e = 0; e < EXPERTS; e++) {
            String expert = layer + "block_sparse_moe.experts." + e + ".";
            feedForward(tensors, random, expert, "w1", "w3", "w2", EXPERT_INTERMEDIATE);
          }
        }
        case QWEN2_MOE -> {
          put(tensors, random, layer + "mlp.gate.weight", EXPERTS, HIDDEN);
          for (int e = 0; e < EXPERTS; e++) {
            swiGlu(tensors, random, layer + "mlp.experts." + e + ".", EXPERT_INTERMEDIATE);
          }
          swiGlu(tensors, random, layer + "mlp.shared_expert.", SHARED_INTERMEDIATE);
          put(tensors, random, layer + "mlp.shared_expert_gate.weight", 1, HIDDEN);
        }
        case DEEPSEEK_V2, DEEPSEEK_V2_QUERY_RANK -> {
          if (l == 0) {
            swiGlu(tensors, random, layer + "mlp.", INTERMEDIATE);
            continue;
          }
          put(tensors, random, layer + "mlp.gate.weight", EXPERTS, HIDDEN);
          for (int e = 0; e < EXPERTS; e++) {
            swiGlu(tensors, random, layer + "mlp.experts." + e + ".", EXPERT_INTERMEDIATE);
          }
          swiGlu(tensors, random, layer + "mlp.shared_experts.", 2 * EXPERT_INTERMEDIATE);
        }
        default -> swiGlu(tensors, random, layer + "mlp.", INTERMEDIATE);
      }
    }
    norm(tensors, random, prefix + "norm.weight", HIDDEN);
  }

  private static void attention(
      Map<String, Tensor> tensors, Random random, Form form, String prefix) {
    int queries = HEADS * HEAD_DIM;
    int keys = KV_HEADS * HEAD_DIM;
    put(tensors, random, prefix + "q_proj.weight", queries, HIDDEN);
    put(tensors, random, prefix + "k_proj.weight", keys, HIDDEN);
    put(tensors, random, prefix + "v_proj.weight", keys, HIDDEN);
    put(tensors, random, prefix + "o_proj.weight", HIDDEN, queries);
    if (form == Form.LLAMA_BIASES) {
      put(tensors, random, prefix + "o_proj.bias", HIDDEN);
    }
    if (form == Form.LLAMA_BIASES || form == Form.LLAVA_CLIP || form.name().startsWith("QWEN2")) {
      put(tensors, random, prefix + "q_proj.bias", queries);
      put(tensors, random, prefix + "k_proj.bias", keys);
      put(tensors, random, prefix + "v_proj.bias", keys);
    }
  }

  private static void latentAttention(
      Map<String, Tensor> tensors, Random random, Form form, String prefix) {
    int queries = HEADS * (HEAD_DIM + ROTARY);
    if (form == Form.DEEPSEEK_V2) {
      put(tensors, random, prefix + "q_proj.weight", queries, HIDDEN);
    } else {
      put(tensors, random, prefix + "q_a_proj.weight", QUERY_RANK, HIDDEN);
      norm(tensors, random, prefix + "q_a_layernorm.weight", QUERY_RANK);
      put(tensors, random, prefix + "q_b_proj.weight", queries, QUERY_RANK);
    }
    put(tensors, random, prefix + "kv_a_proj_with_mqa.weight", LATENT_RANK + ROTARY, HIDDEN);
    norm(tensors, random, prefix + "kv_a_layernorm.weight", LATENT_RANK);
    put(tensors, random, prefix + "kv_b_proj.weight", HEADS * (HEAD_DIM + VALUE_DIM), LATENT_RANK);
    put(tensors, random, prefix + "o_proj.weight", HIDDEN, HEADS * VALUE_DIM);
  }

  private static void swiGlu(
      Map<String, Tensor> tensors, Random random, String prefix, int intermediate) {
    feedForward(tensors, random, prefix, "gate_proj", "up_proj", "down_proj", intermediate);
  }

  private static void feedForward(
      Map<String, Tensor> tensors,
      Random random,
      String prefix,
      String gate,
      String up,
      String down,
      int intermediate) {
    put(tensors, random, prefix + gate + ".weight", intermediate, HIDDEN);
    put(tensors, random, prefix + up + ".weight", intermediate, HIDDEN);
    put(tensors, random, prefix + down + ".weight", HIDDEN, intermediate);
  }

  private static void put(Map<String, Tensor> tensors, Random random, String name, long... shape) {
    tensors.put(name, random(random, 0f, shape));
  }

  private static void norm(Map<String, Tensor> tensors, Random random, String name, long size) {
    tensors.put(name, random(random, 1f, size));
  }

  /** Standard deviation 0.1: small enough to stay finite, large enough for answers to differ. */
  static Tensor random(Random random, float mean, long... shape) {
    List<Long> sizes = new ArrayList<>();
    int elements = 1;
    for (long size : shape) {
      sizes.add(size);
      elements *= (int) size;
    }
    float[] values = new float[elements];
    for (int i = 0; i < elements; i++) {
      values[i] = mean + 0.1f * (float) random.nextGaussian();
    }
    return new Tensor(sizes, values);
  }

  /** Writes tokenizer.json and tokenizer_config.json in the shipped model's form, 256 tokens. */
  public static void writeTokenizer(Path folder) {
    List<String> special = new ArrayList<>();
    special.addAll(List.of("<pad>", "<unk>", "<|user|>", "<|assistant|>", "<|system|>"));
    special.addAll(List.of("<end_of_utterance>", "<fake_token_around_image>", "<global-img>"));
    special.add("<image>");
    for (int row = 1; row <= 4; row++) {
      for (int column = 1; column <= 4; column++) {
        special.add("<row_%d_col_%d>".formatted(row, column));
      }
    }
    ObjectNode tokenizer = MAPPER.createObjectNode();
    tokenizer.put("version", "1.0").putNull("truncation").putNull("padding");
    ObjectNode vocabulary = MAPPER.createObjectNode();
    for (String token : special) {
      addToken(tokenizer, vocabulary, token, true);
    }
    addToken(tokenizer, vocabulary, "\n", false);
    for (String word :
        ("▁what ▁color ▁is ▁the ▁circle ▁square ▁triangle ▁red ▁green ▁blue ▁a ▁and ▁how ▁many"
                + " ▁there ▁are ▁describe ▁picture ▁one ▁two ▁three ▁left ▁right ▁of ▁yes ▁no"
                + " ▁été ▁? ? . , ! : < > ▁< | _ { } [ ] \" -")
            .split(" ")) {
      vocabulary.put(word, vocabulary.size());
    }
    while (vocabulary.size() < VOCABULARY) {
      vocabulary.put("▁spare" + vocabulary.size(), vocabulary.size());
    }
    tokenizer.putObject("normalizer").put("type", "Lowercase");
    ObjectNode preTokenizer = tokenizer.putObject("pre_tokenizer").put("type", "Sequence");
    preTokenizer.withArray("pretokenizers").add(metaspace());
    preTokenizer
        .withArray("pretokenizers")
        .addObject()
        .put("type", "Punctuation")
        .put("behavior", "Isolated");
    tokenizer.putNull("post_processor");
    tokenizer.set("decoder", metaspace());
    tokenizer
        .putObject("model")
        .put("type", "WordLevel")
        .put("unk_token", "<unk>")
        .set("vocab", vocabulary);
    writeJson(folder.resolve("tokenizer.json"), tokenizer);
    writeJson(
        folder.resolve("tokenizer_config.json"),
        MAPPER
            .createObjectNode()
            .put("eos_token", "<end_of_utterance>")
            .put("pad_token", "<pad>")
            .put("unk_token", "<unk>")
            .put("chat_template", CHAT_TEMPLATE));
  }

  private static void addToken(
      ObjectNode tokenizer, ObjectNode vocabulary, String token, boolean special) {
    tokenizer
        .withArray("added_tokens")
        .addObject()
        .put("id", vocabulary.size())
        .put("content", token)
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", false)
        .put("special", special);
    vocabulary.put(token, vocabulary.size());
  }

  private static ObjectNode metaspace() {
    return MAPPER
        .createObjectNode()
        .put("type", "Metaspace")
        .put("replacement", "▁")
        .put("prepend_scheme", "always")
        .put("split", true);
  }

  /** Writes a JSON file. */
  public static void writeJson(Path file, JsonNode node) {
    try {
      Files.createDirectories(file.getParent());
      Files.writeString(file, node.toPrettyString());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
