package io.epidote.trainer;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** Writes the Hugging Face folder around the weights. */
final class ModelFolder {
  private static final ObjectMapper JSON =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  private static final String CHAT_TEMPLATE =
      "{% for message in messages %}{{ '<|' + message['role'] + '|>' }}"
          + "{% if message['content'] is string %}{{ message['content'] }}"
          + "{% else %}{% for part in message['content'] %}"
          + "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
          + "{% endfor %}{% endif %}{{ '<end_of_utterance>' }}{% endfor %}"
          + "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}";

  private ModelFolder() {}

  /** Writes all files; existing ones are replaced. */
  static void write(
      Path folder,
      ModelConfig config,
      Vocabulary vocabulary,
      Map<String, Safetensors.Tensor> tensors)
      throws IOException {
    Files.createDirectories(folder);
    write(folder, "config.json", config(config));
    write(folder, "tokenizer.json", tokenizer(vocabulary));
    write(folder, "tokenizer_config.json", tokenizerConfig());
    write(folder, "special_tokens_map.json", specialTokens());
    write(folder, "preprocessor_config.json", preprocessor());
    ObjectNode generation = JSON.createObjectNode();
    generation.put("eos_token_id", Vocabulary.END).put("pad_token_id", Vocabulary.PAD);
    write(folder, "generation_config.json", generation);
    Safetensors.write(folder.resolve("model.safetensors"), tensors);
  }

  private static ObjectNode config(ModelConfig c) {
    ObjectNode root = JSON.createObjectNode();
    root.putArray("architectures").add("Idefics3ForConditionalGeneration");
    root.put("model_type", "idefics3")
        .put("torch_dtype", "float32")
        .put("image_token_id", Vocabulary.IMAGE)
        .put("eos_token_id", Vocabulary.END)
        .put("pad_token_id", Vocabulary.PAD)
        .put("scale_factor", ModelConfig.SHUFFLE)
        .put("tie_word_embeddings", true)
        .put("vocab_size", c.vocabulary());
    ObjectNode vision = root.putObject("vision_config");
    vision
        .put("model_type", "idefics3_vision")
        .put("hidden_size", c.hidden())
        .put("num_hidden_layers", c.visionLayers())
        .put("num_attention_heads", c.visionHeads())
        .put("intermediate_size", c.visionIntermediate())
        .put("image_size", ModelConfig.TILE)
        .put("patch_size", ModelConfig.PATCH)
        .put("num_channels", 3)
        .put("layer_norm_eps", 1e-6)
        .put("hidden_act", "gelu_pytorch_tanh");
    ArrayNode stem = vision.putArray("conv_stem");
    for (ModelConfig.Conv conv : c.stem()) {
      stem.addObject()
          .put("out_channels", conv.out())
          .put("kernel_size", 3)
          .put("stride", conv.stride());
    }
    vision.put("conv_stem_act", "relu");
    root.putObject("text_config")
        .put("model_type", "mixtral")
        .put("hidden_size", c.hidden())
        .put("num_hidden_layers", c.textLayers())
        .put("num_attention_heads", c.heads())
        .put("num_key_value_heads", c.kvHeads())
        .put("head_dim", c.headDim())
        .put("intermediate_size", c.expertIntermediate())
        .put("num_local_experts", c.experts())
        .put("num_experts_per_tok", c.expertsPerToken())
        .put("norm_topk_prob", true)
        .put("hidden_act", "silu")
        .put("rms_norm_eps", 1e-5)
        .put("rope_theta", 10000.0)
        .put("max_position_embeddings", 1024)
        .put("vocab_size", c.vocabulary())
        .put("attention_bias", false)
        .put("tie_word_embeddings", true);
    return root;
  }

  private static ObjectNode tokenizer(Vocabulary vocabulary) {
    ObjectNode root = JSON.createObjectNode();
    root.put("version", "1.0").putNull("truncation").putNull("padding");
    ArrayNode added = root.putArray("added_tokens");
    for (String token : Vocabulary.specialTokens()) {
      added(added, vocabulary.id(token), token, true);
    }
    added(added, Vocabulary.NEWLINE, "\n", false);
    root.putObject("normalizer").put("type", "Lowercase");
    ObjectNode pre = root.putObject("pre_tokenizer").put("type", "Sequence");
    ArrayNode steps = pre.putArray("pretokenizers");
    metaspace(steps.addObject());
    steps.addObject().put("type", "Punctuation").put("behavior", "Isolated");
    root.putNull("post_processor");
    metaspace(root.putObject("decoder"));
    ObjectNode model = root.putObject("model").put("type", "WordLevel");
    ObjectNode vocab = model.putObject("vocab");
    for (int id = 0; id < Vocabulary.SIZE; id++) {
      vocab.put(vocabulary.token(id), id);
    }
    model.put("unk_token", "<unk>");
    return root;
  }

  private static void metaspace(ObjectNode node) {
    node.put("type", "Metaspace")
        .put("replacement", String.valueOf(Vocabulary.START))
        .put("prepend_scheme", "always")
        .put("split", true);
  }

  private static void added(ArrayNode list, int id, String content, boolean special) {
    list.addObject()
        .put("id", id)
        .put("content", content)
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", false)
        .put("special", special);
  }

  private static ObjectNode tokenizerConfig() {
    ObjectNode root = specialTokens();
    root.put("tokenizer_class", "PreTrainedTokenizerFast")
        .put("model_max_length", 1024)
        .put("clean_up_tokenization_spaces", false)
        .put("chat_template", CHAT_TEMPLATE);
    return root;
  }

  private static ObjectNode specialTokens() {
    ObjectNode root = JSON.createObjectNode();
    root.put("eos_token", "<end_of_utterance>").put("pad_token", "<pad>").put("unk_token", "<unk>");
    return root;
  }

  private static ObjectNode preprocessor() {
    ObjectNode root = JSON.createObjectNode();
    root.put("image_processor_type", "Idefics3ImageProcessor")
        .put("do_convert_rgb", true)
        .put("do_resize", true)
        .put("resample", 1);
    root.putObject("size").put("longest_edge", Tiling.LONGEST_EDGE);
    root.put("do_image_splitting", true);
    root.putObject("max_image_size").put("longest_edge", ModelConfig.TILE);
    root.put("do_rescale", true).put("rescale_factor", 1 / 255.0).put("do_normalize", true);
    for (String key : new String[] {"image_mean", "image_std"}) {
      root.putArray(key).add(0.5).add(0.5).add(0.5);
    }
    root.put("upscale", false);
    return root;
  }

  private static void write(Path folder, String name, ObjectNode node) throws IOException {
    Files.writeString(folder.resolve(name), JSON.writeValueAsString(node) + "\n");
  }
}
