package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/**
 * The tokenizer of a random checkpoint: the words {@code w0}, {@code w1}, ... are its tokens, and a
 * chat is the text of its messages, so that a prompt of n words has n tokens. Only text models get
 * one: pictures would need markers.
 */
final class RandomTokenizer {
  /** Content stands in a message as a string or as parts. */
  private static final String CHAT_TEMPLATE =
      "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}"
          + "{% else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
          + "{{ ' ' }}{% endfor %}";

  private RandomTokenizer() {}

  static void writeIfMissing(Path folder) throws IOException {
    ModelConfig config = ConfigReader.read(folder);
    if (config.vision().isEmpty() && !Files.exists(folder.resolve("tokenizer.json"))) {
      ObjectNode settings = JsonNodeFactory.instance.objectNode();
      settings.put("unk_token", "w0").put("chat_template", CHAT_TEMPLATE);
      write(folder, "tokenizer_config.json", settings);
      // Last, because it is what says that the other one is there.
      write(folder, "tokenizer.json", tokenizer(config.text().vocabulary()));
    }
  }

  private static ObjectNode tokenizer(int vocabulary) {
    ObjectNode root = JsonNodeFactory.instance.objectNode().put("version", "1.0");
    for (String unused : new String[] {"truncation", "padding", "normalizer", "post_processor"}) {
      root.putNull(unused);
    }
    root.putNull("decoder");
    root.putArray("added_tokens");
    root.putObject("pre_tokenizer").put("type", "WhitespaceSplit");
    ObjectNode model = root.putObject("model").put("type", "WordLevel").put("unk_token", "w0");
    ObjectNode words = model.putObject("vocab");
    for (int id = 0; id < vocabulary; id++) {
      words.put("w" + id, id);
    }
    return root;
  }

  private static void write(Path folder, String name, ObjectNode json) throws IOException {
    Path draft = Files.createTempFile(folder, name, ".draft");
    Files.writeString(draft, json.toString());
    Files.move(draft, folder.resolve(name), StandardCopyOption.ATOMIC_MOVE);
  }
}
