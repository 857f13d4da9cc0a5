package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;

/** Reads how far back each layer of a decoder looks. */
final class WindowReader {
  private static final String WINDOW = "sliding_window";
  private static final String IN_USE = "use_sliding_window";
  private static final String TYPES = "layer_types";
  private static final String FULL = "full_attention";
  private static final String SLIDING = "sliding_attention";

  private WindowReader() {}

  /**
   * A window for each layer.
   *
   * @param context tokens; what layers without a window get
   */
  static List<Integer> read(ConfigFile config, String type, int layers, int context) {
    return switch (type) {
      // Hugging Face's MistralConfig takes a missing key for 4096, and null for none.
      case "mistral" -> {
        int fallback = config.keys().contains(WINDOW) ? context : 4096;
        yield everywhere(config, Math.min(context, config.positive(WINDOW, fallback)), layers);
      }
      case "mixtral" ->
          everywhere(config, Math.min(context, config.positive(WINDOW, context)), layers);
      case "qwen2" -> qwen2(config, layers, context);
      case "qwen2_moe" -> {
        // Hugging Face's versions disagree on which layers would have it.
        if (config.flag(IN_USE, false)) {
          throw config.unsupported(IN_USE, List.of("false"));
        }
        yield everywhere(config, context, layers);
      }
      default -> {
        if (config.has(WINDOW)) {
          throw config.unsupported(WINDOW, List.of("null"));
        }
        yield everywhere(config, context, layers);
      }
    };
  }

  private static List<Integer> everywhere(ConfigFile config, int window, int layers) {
    if (config.has(TYPES) && types(config, layers).contains(SLIDING)) {
      throw config.unsupported(TYPES, List.of(FULL));
    }
    return Collections.nCopies(layers, window);
  }

  private static List<Integer> qwen2(ConfigFile config, int layers, int context) {
    if (!config.flag(IN_USE, false)) {
      return everywhere(config, context, layers);
    }
    int window = Math.min(context, config.positive(WINDOW, 4096));
    if (config.has(TYPES)) {
      return types(config, layers).stream()
          .map(type -> type.equals(SLIDING) ? window : context)
          .toList();
    }
    int first = config.integer("max_window_layers", 28);
    return IntStream.range(0, layers).mapToObj(layer -> layer >= first ? window : context).toList();
  }

  private static List<String> types(ConfigFile config, int layers) {
    JsonNode list = config.value(TYPES).orElseThrow();
    List<String> types =
        IntStream.range(0, list.size()).mapToObj(layer -> list.get(layer).asText()).toList();
    if (types.size() != layers || !List.of(FULL, SLIDING).containsAll(types)) {
      throw config.wrong(
          TYPES, "a list of %d names, each %s or %s".formatted(layers, FULL, SLIDING));
    }
    return types;
  }
}
