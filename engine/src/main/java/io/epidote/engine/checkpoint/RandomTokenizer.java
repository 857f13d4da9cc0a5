package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The tokenizer of a random checkpoint: the words {@code w0}, {@code w1}, ... are its tokens, and a
 * chat is the text of its messages, so that a prompt of n words has n tokens. Where the model takes
 * pictures, the last tokens are their markers.
 */
final class RandomTokenizer {
  /** Content stands in a message as a string or as parts. */
  private static final String CHAT_TEMPLATE =
      "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}"
          + "{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>"
          + "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
          + "{{ ' ' }}{% endfor %}";

  /** SmolVLM's, without enlarging. */
  static final String PREPROCESSING =
      """
      {"image_processor_type": "Idefics3ImageProcessor", "size": {"longest_edge": 2048},
       "max_image_size": {"longest_edge": 512}, "upscale": false,
       "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}\
      """;

  /** Rows and columns of the largest grid. */
  private static final int GRID = 4;

  private RandomTokenizer() {}

  /**
   * @param preprocessing of a model that takes pictures
   */
  static void writeIfMissing(Path folder, String preprocessing) throws IOException {
    ModelConfig config = ConfigReader.read(folder);
    if (!Files.exists(folder.resolve("tokenizer.json"))) {
      ObjectNode settings = JsonNodeFactory.instance.objectNode();
      settings.put("unk_token", "w0").put("chat_template", CHAT_TEMPLATE);
      write(folder, "tokenizer_config.json", settings);
      if (config.vision().isPresent()) {
        write(folder, "preprocessor_config.json", new ObjectMapper().readTree(preprocessing));
      }
      // Last, because it is what says that the others are there.
      write(folder, "tokenizer.json", tokenizer(config));
    }
  }

  /** Markers by token, downwards from the one that stands for an image. */
  private static Map<Integer, String> markers(ModelConfig config) {
    Map<Integer, String> markers = new LinkedHashMap<>();
    if (config.vision().isPresent()) {
      int id = config.imageTokenId();
      markers.put(id--, "<image>");
      markers.put(id--, "<fake_token_around_image>");
      markers.put(id--, "<global-img>");
      for (int cell = 0; cell < GRID * GRID; cell++) {
        markers.put(id--, "<row_%d_col_%d>".formatted(1 + cell / GRID, 1 + cell % GRID));
      }
    }
    return markers;
  }

  private static ObjectNode tokenizer(ModelConfig config) {
    Map<Integer, String> markers = markers(config);
    ObjectNode root = JsonNodeFactory.instance.objectNode().put("version", "1.0");
    for (String unused : new String[] {"truncation", "padding", "normalizer", "post_processor"}) {
      root.putNull(unused);
    }
    root.putNull("decoder");
    ArrayNode added = root.putArray("added_tokens");
    markers.forEach((id, marker) -> {
      ObjectNode token = added.addObject().put("id", id).put("content", marker);
      for (String no : new String[] {"single_word", "lstrip", "rstrip", "normalized"}) {
        token.put(no, false);
      }
      token.put("special", true);
    });
    root.putObject("pre_tokenizer").put("type", "WhitespaceSplit");
    ObjectNode model = root.putObject("model").put("type", "WordLevel").put("unk_token", "w0");
    ObjectNode words = model.putObject("vocab");
    for (int id = 0; id < config.text().vocabulary(); id++) {
      words.put(markers.getOrDefault(id, "w" + id), id);
    }
    return root;
  }

  private static void write(Path folder, String name, JsonNode json) throws IOException {
    Path draft = Files.createTempFile(folder, name, ".draft");
    Files.writeString(draft, json.toString());
    Files.move(draft, folder.resolve(name), StandardCopyOption.ATOMIC_MOVE);
  }
}
