package io.epidote.engine.checkpoint;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A JSON object of a model folder, read key by key. A key that is {@code null} counts as absent, as
 * in Hugging Face's readers. Every error names the file, the key, the value and what was expected.
 */
public final class ConfigFile {
  // Python writes NaN and Infinity into JSON.
  private static final ObjectMapper MAPPER =
      JsonMapper.builder().enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS).build();

  private static final ObjectMapper STRICT =
      JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  private final Path file;
  private final String prefix;
  private final ObjectNode object;

  private ConfigFile(Path file, String prefix, ObjectNode object) {
    this.file = file;
    this.prefix = prefix;
    this.object = object;
  }

  /**
   * Reads a file that must be there.
   *
   * @throws BadCheckpoint when it is missing, unreadable or not a JSON object
   */
  public static ConfigFile read(Path file) {
    return read(file, MAPPER);
  }

  /** Likewise a file in which no key may stand twice. */
  static ConfigFile readStrict(Path file) {
    return read(file, STRICT);
  }

  private static ConfigFile read(Path file, ObjectMapper mapper) {
    JsonNode node;
    try {
      node = mapper.readTree(Files.readAllBytes(file));
    } catch (NoSuchFileException e) {
      throw new BadCheckpoint(
          "%s is missing from %s; a model folder of Hugging Face form has it"
              .formatted(file.getFileName(), file.getParent()),
          e);
    } catch (JsonProcessingException e) {
      throw new BadCheckpoint("%s is not JSON: %s".formatted(file, e.getMessage()), e);
    } catch (IOException e) {
      throw new BadCheckpoint("%s cannot be read: %s".formatted(file, e), e);
    }
    if (!(node instanceof ObjectNode object)) {
      throw new BadCheckpoint(
          "%s holds %s, expected a JSON object"
              .formatted(file, node.isMissingNode() ? "nothing" : node.getNodeType()));
    }
    return new ConfigFile(file, "", object);
  }

  /** Reads a file that may be absent. */
  public static Optional<ConfigFile> readIfPresent(Path file) {
    return Files.exists(file) ? Optional.of(read(file)) : Optional.empty();
  }

  /** Whether the key is there and not null. */
  public boolean has(String key) {
    return object.hasNonNull(key);
  }

  /** The value as it stands. */
  public Optional<JsonNode> value(String key) {
    return has(key) ? Optional.of(object.get(key)) : Optional.empty();
  }

  /** The keys of this object. */
  public List<String> keys() {
    List<String> keys = new ArrayList<>();
    object.fieldNames().forEachRemaining(keys::add);
    return keys;
  }

  /** An object inside this one; errors name the keys of both. */
  public Optional<ConfigFile> object(String key) {
    if (!has(key)) {
      return Optional.empty();
    }
    if (!(object.get(key) instanceof ObjectNode inner)) {
      throw wrong(key, "an object");
    }
    return Optional.of(new ConfigFile(file, prefix + key + ".", inner));
  }

  /** This object with the keys given where it has none of its own. */
  ConfigFile withDefaults(Map<String, Integer> defaults) {
    ObjectNode filled = object.deepCopy();
    defaults.forEach((key, value) -> {
      if (!has(key)) {
        filled.put(key, value);
      }
    });
    return new ConfigFile(file, prefix, filled);
  }

  /** The objects of a list; empty when the key is absent. */
  public List<ConfigFile> objects(String key) {
    if (!has(key)) {
      return List.of();
    }
    List<ConfigFile> objects = new ArrayList<>();
    JsonNode list = object.get(key);
    for (int i = 0; i < list.size(); i++) {
      if (!(list.get(i) instanceof ObjectNode entry)) {
        throw wrong(key, "a list of objects");
      }
      objects.add(new ConfigFile(file, "%s%s[%d].".formatted(prefix, key, i), entry));
    }
    if (!list.isArray()) {
      throw wrong(key, "a list of objects");
    }
    return objects;
  }

  /** A whole number above zero that must be there. */
  public int positive(String key) {
    require(key, "a whole number above 0");
    int value = integer(key, 0);
    if (value <= 0) {
      throw wrong(key, "a whole number above 0");
    }
    return value;
  }

  /** A whole number above zero. */
  public int positive(String key, int fallback) {
    return has(key) ? positive(key) : fallback;
  }

  /** A whole number. */
  public int integer(String key, int fallback) {
    if (!has(key)) {
      return fallback;
    }
    JsonNode value = object.get(key);
    if (!value.isIntegralNumber() || !value.canConvertToInt()) {
      throw wrong(key, "a whole number");
    }
    return value.intValue();
  }

  /** A number that is neither infinite nor NaN. */
  public double number(String key, double fallback) {
    if (!has(key)) {
      return fallback;
    }
    JsonNode value = object.get(key);
    if (!value.isNumber() || !Double.isFinite(value.doubleValue())) {
      throw wrong(key, "a number");
    }
    return value.doubleValue();
  }

  /** True or false. */
  public boolean flag(String key, boolean fallback) {
    if (!has(key)) {
      return fallback;
    }
    if (!object.get(key).isBoolean()) {
      throw wrong(key, "true or false");
    }
    return object.get(key).booleanValue();
  }

  /** A string that must be there. */
  public String text(String key) {
    require(key, "a string");
    return text(key, "");
  }

  /** A string. */
  public String text(String key, String fallback) {
    if (!has(key)) {
      return fallback;
    }
    if (!object.get(key).isTextual()) {
      throw wrong(key, "a string");
    }
    return object.get(key).textValue();
  }

  /** The error for a value of the wrong type or out of its range. */
  public BadCheckpoint wrong(String key, String expected) {
    return new BadCheckpoint(
        "%s: %s%s is %s, expected %s".formatted(file, prefix, key, object.get(key), expected));
  }

  /** The error for a value that means something which Epidote cannot do. */
  public BadCheckpoint unsupported(String key, Collection<String> supported) {
    return new BadCheckpoint(
        "%s: %s%s = %s is not supported; supported: %s"
            .formatted(file, prefix, key, object.get(key), String.join(", ", supported)));
  }

  /** An error that concerns several keys. */
  public BadCheckpoint inconsistent(String message) {
    String where = prefix.isEmpty() ? "" : prefix.substring(0, prefix.length() - 1) + ": ";
    return new BadCheckpoint("%s: %s%s".formatted(file, where, message));
  }

  private void require(String key, String expected) {
    if (!has(key)) {
      throw new BadCheckpoint(
          "%s: %s%s is missing, expected %s".formatted(file, prefix, key, expected));
    }
  }
}
