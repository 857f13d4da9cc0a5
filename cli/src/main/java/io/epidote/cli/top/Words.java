package io.epidote.cli.top;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.Locale;

/** Numbers for people. */
final class Words {
  private Words() {}

  /** Milliseconds, a dash where there are none. */
  static String ms(JsonNode value) {
    return value.isNumber() ? ms(value.asDouble()) : "-";
  }

  static String ms(double value) {
    return value >= 60_000
        ? String.format(Locale.ROOT, "%.1f min", value / 60_000)
        : value >= 1000
            ? String.format(Locale.ROOT, value >= 10_000 ? "%.1f s" : "%.2f s", value / 1000)
            : String.format(
                Locale.ROOT, value >= 100 ? "%.0f ms" : value >= 10 ? "%.1f ms" : "%.2f ms", value);
  }

  static String age(double ms) {
    long seconds = Math.round(ms / 1000);
    return seconds < 60
        ? seconds + " s"
        : seconds < 3600
            ? "%d min %d s".formatted(seconds / 60, seconds % 60)
            : "%d h %d min".formatted(seconds / 3600, seconds % 3600 / 60);
  }

  static String percent(double share) {
    return String.format(Locale.ROOT, "%.0f %%", share * 100);
  }
}
