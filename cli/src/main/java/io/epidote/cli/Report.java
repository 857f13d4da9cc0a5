package io.epidote.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.epidote.node.BuildInfo;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What a command found, as one JSON object on standard output for programs to read. */
final class Report {
  private static final ObjectMapper MAPPER =
      new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

  private final String command;
  private final Map<String, Object> figures = new LinkedHashMap<>();
  private final List<Map<String, Object>> rows = new ArrayList<>();

  Report(String command) {
    this.command = command;
  }

  /** Adds a figure; the name is snake_case with its unit as suffix, ratios without one. */
  Report figure(String name, Number value) {
    figures.put(name, value);
    return this;
  }

  /** Adds a figure that this machine or server does not tell. */
  Report unavailable(String name) {
    figures.put(name, "unavailable");
    return this;
  }

  /** By name, in the order of adding: numbers, or "unavailable". */
  Map<String, Object> figures() {
    return Collections.unmodifiableMap(figures);
  }

  Report row(Map<String, Object> row) {
    rows.add(row);
    return this;
  }

  /** Four digits: more would be noise. */
  static double rounded(double value) {
    return Double.parseDouble(String.format(Locale.ROOT, "%.4g", value));
  }

  void print(PrintStream out) {
    Map<String, Object> root = new LinkedHashMap<>();
    root.put("command", command);
    root.put("version", BuildInfo.VERSION);
    root.put("machine", Map.of("cores", Runtime.getRuntime().availableProcessors()));
    root.put("figures", figures);
    if (!rows.isEmpty()) {
      root.put("rows", rows);
    }
    try {
      out.println(MAPPER.writeValueAsString(root));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The figures for people, one a line. */
  void printTable(PrintStream out) {
    figures.forEach((name, value) -> out.printf(Locale.ROOT, "%-44s %12s%n", name, value));
  }
}
