package io.epidote.engine.checkpoint;

import java.util.Map;

/**
 * The sizes that Hugging Face's text configs have when nothing is written: what is written inside a
 * LLaVA config is only what differs from them.
 */
final class TextDefaults {
  private TextDefaults() {}

  static ConfigFile fill(ConfigFile config) {
    return switch (config.text("model_type", "llama")) {
      case "llama" -> config.withDefaults(sizes(11008, 32000));
      case "mistral" -> config.withDefaults(sizes(14336, 32000));
      case "qwen2" -> config.withDefaults(sizes(22016, 151936));
      default -> config;
    };
  }

  private static Map<String, Integer> sizes(int intermediate, int vocabulary) {
    return Map.of(
        "hidden_size", 4096,
        "num_hidden_layers", 32,
        "num_attention_heads", 32,
        "intermediate_size", intermediate,
        "vocab_size", vocabulary);
  }
}
