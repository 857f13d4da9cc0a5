package io.epidote.cli;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Measurements by name, of which the median is told. */
final class Samples {
  private final Map<String, List<Double>> byName = new LinkedHashMap<>();

  void add(String name, double value) {
    byName.computeIfAbsent(name, _ -> new ArrayList<>()).add(value);
  }

  /** Drops all samples. */
  void forget() {
    byName.clear();
  }

  boolean has(String name) {
    return byName.containsKey(name);
  }

  /** Not a number when there is none. */
  double median(String name) {
    double[] values =
        byName.getOrDefault(name, List.of()).stream()
            .mapToDouble(Double::doubleValue)
            .sorted()
            .toArray();
    if (values.length == 0) {
      return Double.NaN;
    }
    return values.length % 2 == 1
        ? values[values.length / 2]
        : (values[values.length / 2 - 1] + values[values.length / 2]) / 2;
  }
}
