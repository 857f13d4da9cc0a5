package io.epidote.engine.checkpoint;

import io.epidote.engine.checkpoint.RopeScaling.Linear;
import io.epidote.engine.checkpoint.RopeScaling.Llama3;
import io.epidote.engine.checkpoint.RopeScaling.None;
import io.epidote.engine.checkpoint.RopeScaling.Yarn;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Reads how a decoder's rotary embedding turns: both the old form, {@code rope_theta} and {@code
 * rope_scaling}, and the newer {@code rope_parameters}.
 */
final class RopeReader {
  private static final List<String> TYPES =
      List.of("default", "linear", "dynamic", "llama3", "yarn");
  private static final Set<String> KEYS =
      Set.of(
          "rope_type",
          "type",
          "rope_theta",
          "factor",
          "original_max_position_embeddings",
          "low_freq_factor",
          "high_freq_factor",
          "attention_factor",
          "beta_fast",
          "beta_slow",
          "mscale",
          "mscale_all_dim",
          "truncate",
          "partial_rotary_factor");

  private RopeReader() {}

  /**
   * @param fallback the family's theta
   * @param positions {@code max_position_embeddings}
   */
  static Rope read(ConfigFile config, double fallback, int positions) {
    refusePartialRotation(config);
    double theta = config.number("rope_theta", fallback);
    RopeScaling scaling = new None();
    for (String key : List.of("rope_scaling", "rope_parameters")) {
      Optional<ConfigFile> rope = config.object(key);
      if (rope.isPresent()) {
        theta = rope.get().number("rope_theta", theta);
        scaling = scaling(rope.get(), positions);
      }
    }
    if (theta <= 0) {
      throw config.inconsistent("rope_theta = %s, expected a number above 0".formatted(theta));
    }
    return new Rope(theta, scaling);
  }

  private static RopeScaling scaling(ConfigFile rope, int positions) {
    for (String key : rope.keys()) {
      if (rope.has(key) && !KEYS.contains(key)) {
        throw rope.unsupported(key, List.of("no such key"));
      }
    }
    refusePartialRotation(rope);
    String typeKey = rope.has("rope_type") ? "rope_type" : "type";
    return switch (rope.text(typeKey, "default")) {
      case "default" -> new None();
      case "linear" -> new Linear(atLeastOne(rope, "factor"));
      case "dynamic" -> {
        // Theta grows with the sequence beyond the original context, which is where Epidote ends.
        if (original(rope, positions) < positions) {
          throw rope.unsupported(
              "original_max_position_embeddings", List.of("max_position_embeddings, " + positions));
        }
        yield new None();
      }
      case "llama3" -> {
        double low = above(rope, "low_freq_factor", 0);
        yield new Llama3(
            atLeastOne(rope, "factor"),
            low,
            above(rope, "high_freq_factor", low),
            rope.positive("original_max_position_embeddings"));
      }
      case "yarn" -> yarn(rope, positions);
      default -> throw rope.unsupported(typeKey, TYPES);
    };
  }

  private static Yarn yarn(ConfigFile rope, int positions) {
    int original = original(rope, positions);
    double factor =
        rope.has("factor")
            ? atLeastOne(rope, "factor")
            : Math.max(1, (double) positions / original);
    double slow = rope.has("beta_slow") ? above(rope, "beta_slow", 0) : 1;
    double fast = rope.has("beta_fast") ? above(rope, "beta_fast", slow) : 32;
    double magnitude = rope.number("attention_factor", 0);
    if (!rope.has("attention_factor")) {
      double weight = rope.number("mscale", 0);
      double allWeight = rope.number("mscale_all_dim", 0);
      magnitude =
          weight != 0 && allWeight != 0
              ? Yarn.magnitude(factor, weight) / Yarn.magnitude(factor, allWeight)
              : Yarn.magnitude(factor, 1);
    } else if (magnitude <= 0) {
      throw rope.wrong("attention_factor", "a number above 0");
    }
    return new Yarn(factor, original, fast, slow, rope.flag("truncate", true), magnitude);
  }

  private static int original(ConfigFile rope, int positions) {
    return rope.positive("original_max_position_embeddings", positions);
  }

  private static double atLeastOne(ConfigFile rope, String key) {
    double value = rope.number(key, 0);
    if (value < 1) {
      throw rope.wrong(key, "a number of at least 1");
    }
    return value;
  }

  private static double above(ConfigFile rope, String key, double bound) {
    double value = rope.number(key, bound);
    if (value <= bound) {
      throw rope.wrong(key, "a number above " + bound);
    }
    return value;
  }

  private static void refusePartialRotation(ConfigFile config) {
    if (config.number("partial_rotary_factor", 1) != 1) {
      throw config.unsupported("partial_rotary_factor", List.of("1"));
    }
  }
}
