package io.epidote.cli.chaos;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What processes held while a load ran.
 *
 * @param processes those that ran all the time
 */
public record ProcessGrowth(List<Row> processes) {
  private static final String MIB = "_mib";

  public ProcessGrowth {
    processes = List.copyOf(processes);
  }

  /**
   * Medians.
   *
   * @param before of the load's second quarter
   * @param after of its last one
   */
  public record Held(double before, double after) {}

  /**
   * @param held by what it is: heap_mib, direct_mib, rss_mib, fds, threads
   */
  public record Row(String process, Map<String, Held> held) {}

  /** By figures' names, the most that one of them grew. */
  Map<String, Number> figures() {
    Map<String, Number> most = new LinkedHashMap<>();
    for (Row row : processes) {
      row.held()
          .forEach((what, held) -> {
            boolean mib = what.endsWith(MIB);
            String name = (mib ? what.replace(MIB, "") : what) + "_growth" + (mib ? MIB : "");
            most.merge(
                name,
                held.after() - held.before(),
                (one, other) -> Math.max(one.doubleValue(), other.doubleValue()));
          });
    }
    return most;
  }

  /** A row for each. */
  List<Map<String, Object>> rows() {
    List<Map<String, Object>> rows = new ArrayList<>();
    for (Row process : processes) {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("process", process.process());
      process
          .held()
          .forEach((what, held) -> {
            row.put(what, held.before());
            row.put(what + "_end", held.after());
          });
      rows.add(row);
    }
    return rows;
  }
}
