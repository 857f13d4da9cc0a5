package io.epidote.router.openai;

import com.fasterxml.jackson.databind.JsonNode;
import io.epidote.router.request.InvalidField;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A JSON object read by the types that its fields must have. A field that is absent or null is not
 * there; one of another type is an error that names its path.
 */
final class Fields {
  private final JsonNode object;
  private final String prefix;

  private Fields(JsonNode object, String prefix) {
    this.object = object;
    this.prefix = prefix;
  }

  /**
   * @param path of the value, empty for the body itself
   * @throws InvalidField when it is no object
   */
  static Fields of(JsonNode value, String path) {
    if (!value.isObject()) {
      throw wrong(path.isEmpty() ? "body" : path, value, "an object");
    }
    return new Fields(value, path.isEmpty() ? "" : path + ".");
  }

  String path(String name) {
    return prefix + name;
  }

  /** Of all that the object has. */
  List<String> names() {
    List<String> names = new ArrayList<>();
    object.fieldNames().forEachRemaining(names::add);
    return names;
  }

  @Nullable JsonNode get(String name) {
    JsonNode value = object.get(name);
    return value == null || value.isNull() ? null : value;
  }

  JsonNode require(String name, String expected) {
    JsonNode value = get(name);
    if (value == null) {
      throw new InvalidField(path(name), "is missing; expected " + expected);
    }
    return value;
  }

  @Nullable Fields object(String name) {
    JsonNode value = get(name);
    return value == null ? null : of(value, path(name));
  }

  @Nullable String text(String name) {
    JsonNode value = get(name);
    return value == null ? null : text(value, path(name));
  }

  static String text(JsonNode value, String path) {
    if (!value.isTextual()) {
      throw wrong(path, value, "a string");
    }
    return value.textValue();
  }

  boolean flag(String name) {
    JsonNode value = get(name);
    if (value != null && !value.isBoolean()) {
      throw wrong(path(name), value, "true or false");
    }
    return value != null && value.booleanValue();
  }

  @Nullable Long whole(String name) {
    JsonNode value = get(name);
    return value == null ? null : Long.valueOf(whole(value, path(name)));
  }

  static long whole(JsonNode value, String path) {
    if (!value.isIntegralNumber() || !value.canConvertToLong()) {
      throw wrong(path, value, "a whole number of at most 64 bits");
    }
    return value.longValue();
  }

  @Nullable Double real(String name) {
    JsonNode value = get(name);
    if (value == null) {
      return null;
    }
    if (!value.isNumber()) {
      throw wrong(path(name), value, "a number");
    }
    return value.doubleValue();
  }

  List<JsonNode> list(String name, String expected) {
    JsonNode value = require(name, expected);
    if (!value.isArray()) {
      throw wrong(path(name), value, expected);
    }
    List<JsonNode> items = new ArrayList<>();
    value.forEach(items::add);
    return items;
  }

  static InvalidField wrong(String path, JsonNode value, String expected) {
    return new InvalidField(path, "is %s; expected %s".formatted(describe(value), expected));
  }

  /** A value in words, cut when it is long. */
  static String describe(JsonNode value) {
    return switch (value.getNodeType()) {
      case OBJECT -> "an object";
      case ARRAY -> "a list";
      case STRING -> "the string \"%s\"".formatted(shorten(value.textValue()));
      case NULL -> "null";
      default -> shorten(value.toString());
    };
  }

  private static String shorten(String text) {
    return text.length() <= 60 ? text : text.substring(0, 60) + "…";
  }
}
