package io.epidote.cli;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Measurements by name, several of each. */
final class Samples {
  private final Map<String, List<Double>> samples = new LinkedHashMap<>();

  void add(String name, double value) {
    samples.computeIfAbsent(name, _ -> new ArrayList<>()).add(value);
  }

  /** Drops all. */
  void forget() {
    samples.clear();
  }

  boolean has(String name) {
    return samples.containsKey(name);
  }

  double median(String name) {
    double[] values =
        samples.getOrDefault(name, List.of()).stream()
            .mapToDouble(Double::doubleValue)
            .sorted()
            .toArray();
    return values.length % 2 == 1
        ? values[values.length / 2]
        : (values[values.length / 2 - 1] + values[values.length / 2]) / 2;
  }
}
