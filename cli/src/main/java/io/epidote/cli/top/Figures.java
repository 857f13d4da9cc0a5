package io.epidote.cli.top;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import java.util.OptionalDouble;
import java.util.function.Function;

/** What the last periods of a history say together. */
public final class Figures {
  private static final double WINDOW_MS = 10_000;

  private final List<JsonNode> points;
  private final List<JsonNode> window;
  private final double seconds;

  /**
   * @param points oldest first
   * @param periodMs of each
   */
  public Figures(List<JsonNode> points, double periodMs) {
    this.points = points;
    int periods = (int) Math.max(1, WINDOW_MS / periodMs);
    this.window = points.subList(Math.max(0, points.size() - periods), points.size());
    this.seconds = window.size() * periodMs / 1000;
  }

  /** Of the last period in the window that has it. */
  public OptionalDouble latest(String name) {
    for (JsonNode point : window.reversed()) {
      if (point.path(name).isNumber()) {
        return OptionalDouble.of(point.path(name).asDouble());
      }
    }
    return OptionalDouble.empty();
  }

  /** How many a second, over the window. */
  public OptionalDouble perSecond(String name) {
    return seconds == 0 ? OptionalDouble.empty() : OptionalDouble.of(sum(name) / seconds);
  }

  /** The share that one count has of another, over the window. */
  public OptionalDouble share(String part, String all) {
    double of = sum(all);
    return of == 0 ? OptionalDouble.empty() : OptionalDouble.of(sum(part) / of);
  }

  private double sum(String name) {
    return window.stream().mapToDouble(point -> point.path(name).asDouble()).sum();
  }

  /** The last periods as a row of blocks as high as they are, a space where nothing is known. */
  String sparkline(int columns, Function<JsonNode, OptionalDouble> value) {
    List<OptionalDouble> shown =
        points.subList(Math.max(0, points.size() - Math.max(0, columns)), points.size()).stream()
            .map(value)
            .toList();
    double top =
        shown.stream()
            .filter(OptionalDouble::isPresent)
            .mapToDouble(OptionalDouble::getAsDouble)
            .max()
            .orElse(0);
    StringBuilder line = new StringBuilder(" ".repeat(Math.max(0, columns - shown.size())));
    for (OptionalDouble each : shown) {
      line.append(
          each.isEmpty()
              ? ' '
              : (char) ('▁' + (top <= 0 ? 0 : (int) Math.round(each.getAsDouble() / top * 7))));
    }
    return line.toString();
  }

  static OptionalDouble of(JsonNode point, String name) {
    return point.path(name).isNumber()
        ? OptionalDouble.of(point.path(name).asDouble())
        : OptionalDouble.empty();
  }
}
