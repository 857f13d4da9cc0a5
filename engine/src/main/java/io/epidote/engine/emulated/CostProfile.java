package io.epidote.engine.emulated;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * What an accelerator's steps take, in milliseconds. A step takes its fixed part and a part for
 * each unit in it; what is not named takes nothing.
 *
 * @param encodeStepMs of a batch of tiles
 * @param tileMs of each tile
 * @param prefillStepMs of a step that has chunks of more than one token
 * @param promptTokenMs of each of their tokens
 * @param decodeStepMs of a step that has chunks of one token
 * @param decodeTokenMs of each of them
 */
public record CostProfile(
    double encodeStepMs,
    double tileMs,
    double prefillStepMs,
    double promptTokenMs,
    double decodeStepMs,
    double decodeTokenMs) {

  /**
   * Reads {@code tile_ms:20,prompt_token_ms:0.1}, or the path of a JSON file with such keys.
   *
   * @throws InvalidRequest naming what is not a cost, or not a duration
   */
  public static CostProfile parse(String text) {
    return of(text.contains(":") ? pairs(text) : file(text));
  }

  private static Map<String, String> pairs(String text) {
    Map<String, String> values = new LinkedHashMap<>();
    for (String part : text.split(",", -1)) {
      String[] pair = part.strip().split(":", -1);
      if (pair.length != 2 || values.put(pair[0], pair[1]) != null) {
        throw new InvalidRequest(
            "'%s' in the cost profile '%s' is not of the form NAME:MILLISECONDS, each name once; expected for example tile_ms:20,prompt_token_ms:0.1"
                .formatted(part, text));
      }
    }
    return values;
  }

  private static Map<String, String> file(String path) {
    JsonNode root;
    try {
      root = new ObjectMapper().readTree(Files.readString(Path.of(path)));
    } catch (IOException e) {
      throw new InvalidRequest(
          "The cost profile %s cannot be read as a JSON file: %s; name one, or write the costs as tile_ms:20,prompt_token_ms:0.1"
              .formatted(path, e.getMessage()));
    }
    Map<String, String> values = new LinkedHashMap<>();
    root.properties().forEach(entry -> values.put(entry.getKey(), entry.getValue().asText()));
    return values;
  }

  private static CostProfile of(Map<String, String> values) {
    CostProfile profile =
        new CostProfile(
            milliseconds(values, "encode_step_ms"),
            milliseconds(values, "tile_ms"),
            milliseconds(values, "prefill_step_ms"),
            milliseconds(values, "prompt_token_ms"),
            milliseconds(values, "decode_step_ms"),
            milliseconds(values, "decode_token_ms"));
    if (!profile.costs().keySet().containsAll(values.keySet())) {
      values.keySet().removeAll(profile.costs().keySet());
      throw new InvalidRequest(
          "'%s' is not a cost; expected some of %s"
              .formatted(
                  String.join(", ", values.keySet()), String.join(", ", profile.costs().keySet())));
    }
    return profile;
  }

  private static double milliseconds(Map<String, String> values, String name) {
    String value = values.getOrDefault(name, "0");
    double ms;
    try {
      ms = Double.parseDouble(value.strip());
    } catch (NumberFormatException e) {
      ms = Double.NaN;
    }
    if (!(ms >= 0 && ms <= 600_000)) {
      throw new InvalidRequest(
          "The cost %s is '%s'; expected milliseconds, 0 to 600000".formatted(name, value));
    }
    return ms;
  }

  private Map<String, Double> costs() {
    Map<String, Double> costs = new LinkedHashMap<>();
    costs.put("encode_step_ms", encodeStepMs);
    costs.put("tile_ms", tileMs);
    costs.put("prefill_step_ms", prefillStepMs);
    costs.put("prompt_token_ms", promptTokenMs);
    costs.put("decode_step_ms", decodeStepMs);
    costs.put("decode_token_ms", decodeTokenMs);
    return costs;
  }

  /** What {@link #parse} reads. */
  public String word() {
    return costs().entrySet().stream()
        .map(cost -> cost.getKey() + ":" + cost.getValue())
        .collect(Collectors.joining(","));
  }

  /** A batch of tiles. */
  double encodeMs(int tiles) {
    return encodeStepMs + tiles * tileMs;
  }

  /** A step over that many tokens of prompts and that many of answers. */
  double stepMs(int promptTokens, int answerTokens) {
    return (promptTokens == 0 ? 0 : prefillStepMs + promptTokens * promptTokenMs)
        + (answerTokens == 0 ? 0 : decodeStepMs + answerTokens * decodeTokenMs);
  }
}
