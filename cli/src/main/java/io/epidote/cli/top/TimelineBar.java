package io.epidote.cli.top;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Arrays;

/**
 * A request's timeline as a row of characters: {@code r} router, a dot for queues, a dash for
 * transfers, and E, P or D while that stage computes. Nodes tell durations; where they are follows
 * from what is known of order: encode begins at admission, prefill ends with the first token,
 * decode begins with it.
 */
final class TimelineBar {
  private final char[] cells;
  private final double total;

  private TimelineBar(int columns, double total) {
    this.cells = new char[columns];
    this.total = total;
    Arrays.fill(cells, ' ');
  }

  static String of(JsonNode timeline, int columns) {
    double total = timeline.path("total_ms").asDouble();
    if (columns <= 0 || total <= 0) {
      return "";
    }
    TimelineBar bar = new TimelineBar(columns, total);
    double router = timeline.path("router_ms").asDouble();
    double first = timeline.path("ttft_ms").asDouble(total);
    bar.put('r', 0, router);
    // What is drawn last is on top: computation hides the transfers that it overlaps with.
    for (JsonNode stage : timeline.path("stages")) {
      Place place = Place.of(stage, router, first);
      bar.put('.', place.begun() - ms(stage, "queue"), place.begun());
    }
    for (JsonNode stage : timeline.path("stages")) {
      double from = Place.of(stage, router, first).input() - ms(stage, "overlapped_transfer");
      bar.put('-', from, from + ms(stage, "transfer"));
    }
    for (JsonNode stage : timeline.path("stages")) {
      Place place = Place.of(stage, router, first);
      char letter = Character.toUpperCase(stage.path("stage").asText("?").charAt(0));
      bar.put(letter, place.input() - ms(stage, "overlapped_compute"), place.input());
      bar.put(letter, place.compute(), place.compute() + place.later());
    }
    return new String(bar.cells);
  }

  /**
   * When things of a stage happened, in milliseconds.
   *
   * @param input the last of its input was announced
   * @param begun its first computation began
   * @param compute its computation with all input began
   * @param later how long that took
   */
  private record Place(double input, double begun, double compute, double later) {
    static Place of(JsonNode stage, double router, double first) {
      double overlapped = ms(stage, "overlapped_compute");
      double later = ms(stage, "compute") - overlapped;
      double input;
      double compute;
      switch (stage.path("stage").asText()) {
        case "encode" -> {
          input = router;
          compute = router + ms(stage, "queue");
        }
        case "prefill" -> {
          compute = first - later;
          input = compute - ms(stage, "handoff");
        }
        default -> {
          input = first;
          compute = first + ms(stage, "handoff");
        }
      }
      return new Place(input, overlapped > 0 ? input - overlapped : compute, compute, later);
    }
  }

  private static double ms(JsonNode stage, String what) {
    return stage.path(what + "_ms").asDouble();
  }

  private void put(char letter, double from, double to) {
    if (to <= from) {
      return;
    }
    int start = Math.clamp((int) (from / total * cells.length), 0, cells.length - 1);
    int end = Math.clamp((int) Math.ceil(to / total * cells.length), start + 1, cells.length);
    Arrays.fill(cells, start, end, letter);
  }
}
