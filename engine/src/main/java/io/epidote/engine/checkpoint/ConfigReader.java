package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/**
 * Reads {@code config.json}. A key whose value changes what the model computes is either understood
 * or refused by name: a model that loads but answers wrongly is worse than one that does not load.
 */
final class ConfigReader {
  private static final Set<String> MULTIMODAL =
      Set.of("idefics3", "smolvlm", VisionConfigReader.LLAVA);
  private static final List<String> SUPPORTED_TYPES =
      Stream.concat(MULTIMODAL.stream().sorted(), TextConfigReader.TYPES.stream()).toList();

  private ConfigReader() {}

  static ModelConfig read(Path folder) {
    ConfigFile config = ConfigFile.read(folder.resolve("config.json"));
    String type = config.text("model_type");
    if (!SUPPORTED_TYPES.contains(type)) {
      throw config.unsupported("model_type", SUPPORTED_TYPES);
    }
    if (config.has("quantization_config")) {
      throw config.unsupported("quantization_config", List.of("no such key (weights unquantised)"));
    }
    if (!MULTIMODAL.contains(type)) {
      boolean tied = config.flag("tie_word_embeddings", false);
      return new ModelConfig(
          type,
          Optional.empty(),
          TextConfigReader.read(config, tied),
          -1,
          eosTokenIds(folder, config));
    }
    ConfigFile textConfig =
        config
            .object("text_config")
            .orElseThrow(() -> config.inconsistent("text_config is missing, expected an object"));
    VisionConfig vision = VisionConfigReader.read(config);
    TextConfig text = readText(config, textConfig, type);
    return new ModelConfig(
        type,
        Optional.of(vision),
        text,
        imageTokenId(config, text.vocabulary()),
        eosTokenIds(folder, config, textConfig));
  }

  private static TextConfig readText(ConfigFile config, ConfigFile textConfig, String type) {
    String key = "tie_word_embeddings";
    if (type.equals(VisionConfigReader.LLAVA)) {
      return TextConfigReader.read(
          TextDefaults.fill(textConfig), textConfig.flag(key, config.flag(key, false)));
    }
    // Hugging Face ties Idefics3 by the outer config and falls back to the inner one.
    return TextConfigReader.read(textConfig, config.flag(key, textConfig.flag(key, false)));
  }

  private static int imageTokenId(ConfigFile config, int vocabulary) {
    // LLaVA's older name for the same.
    String key =
        !config.has("image_token_id") && config.has("image_token_index")
            ? "image_token_index"
            : "image_token_id";
    int id = config.integer(key, -1);
    if (id < 0 || id >= vocabulary) {
      throw config.inconsistent(
          "%s is %s, expected a token of the vocabulary, 0 to %d"
              .formatted(key, config.has(key) ? id : "missing", vocabulary - 1));
    }
    return id;
  }

  /** Of generation_config.json, else of the configs given, the first that names any. */
  private static Set<Integer> eosTokenIds(Path folder, ConfigFile... configs) {
    List<ConfigFile> sources = new ArrayList<>(List.of(configs));
    ConfigFile.readIfPresent(folder.resolve("generation_config.json")).ifPresent(sources::addFirst);
    String key = "eos_token_id";
    for (ConfigFile source : sources) {
      Optional<JsonNode> value = source.value(key);
      if (value.isPresent()) {
        Set<Integer> ids = new TreeSet<>();
        for (JsonNode id : value.get().isArray() ? value.get() : List.of(value.get())) {
          if (!id.canConvertToInt() || !id.isIntegralNumber() || id.intValue() < 0) {
            throw source.wrong(key, "a token id or a list of token ids");
          }
          ids.add(id.intValue());
        }
        return ids;
      }
    }
    return Set.of();
  }
}
