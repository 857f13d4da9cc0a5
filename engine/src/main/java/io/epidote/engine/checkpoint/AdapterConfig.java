package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Predicate;

/** What an adapter's config says of it. */
public sealed interface AdapterConfig {
  /** {@code esft} or {@code lora}. */
  default String kind() {
    return switch (this) {
      case Esft _ -> "esft";
      case Lora _ -> "lora";
    };
  }

  /** The file's name. */
  String ESFT_FILE = "expert_cfg.json";

  /** The file's name. */
  String LORA_FILE = "adapter_config.json";

  /**
   * Expert-specialised fine-tuning: some experts have weights of their own.
   *
   * @param experts by layer
   */
  record Esft(SortedMap<Integer, SortedSet<Integer>> experts) implements AdapterConfig {
    private static final Set<String> KEYS =
        Set.of("experts", "shared_experts", "non_expert_modules");

    static Esft read(ConfigFile config) {
      for (String key : config.keys()) {
        if (!KEYS.contains(key)) {
          throw config.wrong(key, "one of the keys " + String.join(", ", new TreeSet<>(KEYS)));
        }
      }
      for (String key : List.of("shared_experts", "non_expert_modules")) {
        if (config.flag(key, false)) {
          throw config.unsupported(key, List.of("false"));
        }
      }
      ConfigFile layers =
          config
              .object("experts")
              .orElseThrow(() -> config.wrong("experts", "an object: layer to list of experts"));
      SortedMap<Integer, SortedSet<Integer>> experts = new TreeMap<>();
      for (String layer : layers.keys()) {
        if (!layer.matches("0|[1-9][0-9]{0,5}")) {
          throw layers.wrong(layer, "a layer's number as its key");
        }
        experts.put(Integer.parseInt(layer), numbers(layers, layer));
      }
      experts.values().removeIf(SortedSet::isEmpty);
      if (experts.isEmpty()) {
        throw config.wrong("experts", "at least one expert");
      }
      return new Esft(experts);
    }

    private static SortedSet<Integer> numbers(ConfigFile layers, String layer) {
      SortedSet<Integer> numbers = new TreeSet<>();
      JsonNode list = layers.value(layer).orElseThrow(() -> layers.wrong(layer, "a list"));
      for (JsonNode number : list) {
        if (!number.isIntegralNumber() || !number.canConvertToInt() || number.intValue() < 0) {
          throw layers.wrong(layer, "a list of experts' numbers");
        }
        if (!numbers.add(number.intValue())) {
          throw layers.wrong(layer, "each expert once, not %d twice".formatted(number.intValue()));
        }
      }
      if (!list.isArray()) {
        throw layers.wrong(layer, "a list of experts' numbers");
      }
      return numbers;
    }
  }

  /**
   * Low-rank matrices beside linear layers, in PEFT's form.
   *
   * @param scale that the product of the two matrices is multiplied by
   * @param targets last names of the modules that have some; empty where the config does not list
   *     them
   * @param layers that have some; empty for all
   */
  record Lora(
      int rank,
      float scale,
      Optional<SortedSet<String>> targets,
      Optional<SortedSet<Integer>> layers)
      implements AdapterConfig {
    private static final int MAX_RANK = 1024;

    /** What trained the adapter or says where it comes from; changes nothing about its answers. */
    private static final Set<String> INFORMATIVE =
        Set.of(
            "auto_mapping",
            "base_model_name_or_path",
            "exclude_modules",
            "inference_mode",
            "lora_dropout",
            "megatron_core",
            "peft_version",
            "qalora_group_size",
            "revision",
            "runtime_config",
            "task_type");

    private static final Set<String> READ =
        Set.of(
            "peft_type",
            "r",
            "lora_alpha",
            "use_rslora",
            "target_modules",
            "layers_to_transform",
            "bias",
            "init_lora_weights",
            "layers_pattern");

    static Lora read(ConfigFile config) {
      if (!config.text("peft_type").equals("LORA")) {
        throw config.unsupported("peft_type", List.of("LORA"));
      }
      if (!config.text("bias", "none").equals("none")) {
        throw config.unsupported("bias", List.of("none"));
      }
      require(
          config,
          "init_lora_weights",
          List.of("true", "false", "gaussian"),
          value -> value.isBoolean() || value.asText().equals("gaussian"));
      require(
          config,
          "layers_pattern",
          List.of("layers"),
          value -> value.asText().equals("layers") || value.isEmpty() && !value.isTextual());
      for (String key : config.keys()) {
        boolean known = INFORMATIVE.contains(key) || READ.contains(key);
        if (!known && !config.value(key).map(Lora::isOff).orElse(true)) {
          throw config.unsupported(key, List.of("null", "false"));
        }
      }
      int rank = config.positive("r");
      if (rank > MAX_RANK) {
        throw config.wrong("r", "at most " + MAX_RANK);
      }
      double alpha = config.number("lora_alpha", 8);
      double by = config.flag("use_rslora", false) ? Math.sqrt(rank) : rank;
      return new Lora(rank, (float) (alpha / by), targets(config), layers(config));
    }

    private static void require(
        ConfigFile config, String key, List<String> supported, Predicate<JsonNode> accepted) {
      if (config.has(key) && !config.value(key).map(accepted::test).orElse(true)) {
        throw config.unsupported(key, supported);
      }
    }

    /** A feature that is not used. */
    private static boolean isOff(JsonNode value) {
      return switch (value.getNodeType()) {
        case BOOLEAN -> !value.booleanValue();
        case NUMBER -> value.doubleValue() == 0;
        case STRING -> value.textValue().isEmpty();
        default -> value.isEmpty();
      };
    }

    /** A single text is a pattern or {@code all-linear}: the tensors say what it matched. */
    private static Optional<SortedSet<String>> targets(ConfigFile config) {
      JsonNode value =
          config
              .value("target_modules")
              .orElseThrow(() -> config.wrong("target_modules", "a list of modules"));
      if (value.isTextual()) {
        return Optional.empty();
      }
      SortedSet<String> targets = new TreeSet<>();
      for (JsonNode target : value) {
        if (!target.isTextual() || !targets.add(target.textValue())) {
          throw config.wrong("target_modules", "a list of modules, each once");
        }
      }
      if (targets.isEmpty()) {
        throw config.wrong("target_modules", "at least one module");
      }
      return Optional.of(targets);
    }

    private static Optional<SortedSet<Integer>> layers(ConfigFile config) {
      Optional<JsonNode> value = config.value("layers_to_transform");
      if (value.isEmpty()) {
        return Optional.empty();
      }
      SortedSet<Integer> layers = new TreeSet<>();
      Iterable<JsonNode> numbers = value.get().isArray() ? value.get() : List.of(value.get());
      for (JsonNode number : numbers) {
        if (!number.isIntegralNumber() || number.intValue() < 0 || !layers.add(number.intValue())) {
          throw config.wrong("layers_to_transform", "numbers of layers, each once");
        }
      }
      return Optional.of(layers).filter(wanted -> !wanted.isEmpty());
    }
  }
}
