package io.epidote.engine.emulated;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A cost profile as a JSON file: {@code costs}, and what else is known of the device. */
final class ProfileFile {
  private static final List<String> PARTS = List.of("about", "costs", "memory", "link", "model");

  private final Path path;
  private final JsonNode root;

  private ProfileFile(Path path, JsonNode root) {
    this.path = path;
    this.root = root;
  }

  static CostProfile read(Path path) {
    JsonNode root;
    try {
      root = new ObjectMapper().readTree(Files.readString(path));
    } catch (IOException e) {
      throw new InvalidRequest(
          "The cost profile %s cannot be read as a JSON file: %s; name one, or write the costs as tile_ms:20,prompt_token_ms:0.1"
              .formatted(path, e.getMessage()),
          e);
    }
    return new ProfileFile(path, root).profile();
  }

  private CostProfile profile() {
    List<String> unknown = new ArrayList<>();
    root.fieldNames().forEachRemaining(unknown::add);
    unknown.removeAll(PARTS);
    if (!unknown.isEmpty() || !root.path("costs").isObject()) {
      throw new InvalidRequest(
          "The cost profile %s has %s; expected an object of costs, and perhaps memory, link and model"
              .formatted(path, unknown.isEmpty() ? "no costs" : String.join(", ", unknown)));
    }
    Map<String, Double> costs = new LinkedHashMap<>();
    root.path("costs")
        .properties()
        .forEach(cost -> costs.put(cost.getKey(), number("costs", cost.getKey())));
    CostProfile bare = CostProfile.ofCosts(path.toAbsolutePath().toString(), costs);
    return new CostProfile(
        bare.word(),
        bare.encode(),
        bare.prefill(),
        bare.decode(),
        bare.pictureMs(),
        memory(),
        link(),
        model(),
        1);
  }

  private Optional<DeviceMemory> memory() {
    if (!has("memory", "device_gib", "reserved_gib", "encoder_gib", "decoder_gib", "kv_share")) {
      return Optional.empty();
    }
    double share = number("memory", "kv_share");
    if (!(share > 0 && share < 1)) {
      throw wrong("memory", "kv_share", "a number between 0 and 1");
    }
    return Optional.of(
        new DeviceMemory(
            number("memory", "device_gib"),
            number("memory", "reserved_gib"),
            number("memory", "encoder_gib"),
            number("memory", "decoder_gib"),
            share));
  }

  private Optional<DeviceLink> link() {
    if (!has("link", "gigabytes_s", "latency_ms")) {
      return Optional.empty();
    }
    double speed = number("link", "gigabytes_s");
    if (speed <= 0) {
      throw wrong("link", "gigabytes_s", "a number above 0");
    }
    return Optional.of(new DeviceLink(speed, number("link", "latency_ms")));
  }

  private Optional<EmulatedShape> model() {
    if (!has(
        "model",
        "tile_size",
        "longest_edge",
        "tile_tokens",
        "media_token_bytes",
        "kv_token_bytes",
        "context_tokens")) {
      return Optional.empty();
    }
    return Optional.of(
        new EmulatedShape(
            integer("model", "tile_size"),
            integer("model", "longest_edge"),
            integer("model", "tile_tokens"),
            integer("model", "media_token_bytes"),
            integer("model", "kv_token_bytes"),
            integer("model", "context_tokens")));
  }

  /** Whether the part is there, with exactly these keys. */
  private boolean has(String part, String... keys) {
    JsonNode object = root.path(part);
    if (object.isMissingNode()) {
      return false;
    }
    List<String> names = new ArrayList<>();
    object.fieldNames().forEachRemaining(names::add);
    if (names.size() != keys.length || !names.containsAll(List.of(keys))) {
      throw new InvalidRequest(
          "'%s' of the cost profile %s has the keys %s; expected %s"
              .formatted(part, path, names, List.of(keys)));
    }
    return true;
  }

  private double number(String part, String key) {
    JsonNode value = root.path(part).path(key);
    if (!value.isNumber() || value.doubleValue() < 0) {
      throw wrong(part, key, "a number of at least 0");
    }
    return value.doubleValue();
  }

  private int integer(String part, String key) {
    JsonNode value = root.path(part).path(key);
    if (!value.isInt() || value.intValue() < 1) {
      throw wrong(part, key, "a whole number of at least 1");
    }
    return value.intValue();
  }

  private InvalidRequest wrong(String part, String key, String expected) {
    return new InvalidRequest(
        "%s.%s of the cost profile %s is %s; expected %s"
            .formatted(part, key, path, root.path(part).path(key), expected));
  }
}
