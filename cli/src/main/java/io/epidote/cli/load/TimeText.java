package io.epidote.cli.load;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Times as people write them. */
public final class TimeText {
  private static final Pattern FORM = Pattern.compile("([0-9]{1,9}(?:\\.[0-9]+)?)\\s*(ms|s|m|h)?");

  private TimeText() {}

  /** Reads {@code 200ms}, {@code 5s}, {@code 10m} or {@code 1h}; a number alone is of seconds. */
  public static Duration parse(String text) {
    Matcher matcher = FORM.matcher(text.strip());
    if (!matcher.matches()) {
      throw new InvalidRequest(
          "'%s' is not a time; expected for example 200ms, 5s or 10m".formatted(text));
    }
    double seconds = Double.parseDouble(matcher.group(1));
    String unit = matcher.group(2) == null ? "s" : matcher.group(2);
    return Duration.ofNanos(
        Math.round(
            1e9
                * seconds
                * switch (unit) {
                  case "ms" -> 1e-3;
                  case "m" -> 60;
                  case "h" -> 3600;
                  default -> 1;
                }));
  }

  /** What {@link #parse} reads, in whole seconds where they are. */
  public static String of(Duration time) {
    return time.toMillis() % 1000 == 0 ? time.toSeconds() + "s" : time.toMillis() + "ms";
  }
}
