package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.ITypeConverter;

/** A size in bytes, written with its unit: {@code 64MiB}. */
record Bytes(long value) {
  private static final Pattern FORM = Pattern.compile("(\\d+)\\s*(B|KiB|MiB|GiB)");

  static Bytes parse(String text) {
    Matcher matcher = FORM.matcher(text.strip());
    if (!matcher.matches()) {
      throw new InvalidRequest(
          "'%s' is not a size; expected a number with a unit, for example 64MiB (B, KiB, MiB, GiB)"
              .formatted(text));
    }
    int shift =
        switch (matcher.group(2)) {
          case "KiB" -> 10;
          case "MiB" -> 20;
          case "GiB" -> 30;
          default -> 0;
        };
    return new Bytes(Long.parseLong(matcher.group(1)) << shift);
  }

  /** For people: three digits and a unit. */
  static String words(long bytes) {
    if (bytes < 1 << 10) {
      return bytes + " B";
    }
    String[] units = {"KiB", "MiB", "GiB"};
    double value = bytes / 1024.0;
    int unit = 0;
    while (value >= 1000 && unit < 2) {
      value /= 1024;
      unit++;
    }
    return String.format(Locale.ROOT, value < 10 ? "%.1f %s" : "%.0f %s", value, units[unit]);
  }

  static final class Converter implements ITypeConverter<Bytes> {
    @Override
    public Bytes convert(String text) {
      return parse(text);
    }
  }
}
