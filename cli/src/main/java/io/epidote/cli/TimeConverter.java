package io.epidote.cli;

import io.epidote.cli.load.TimeText;
import java.time.Duration;
import picocli.CommandLine.ITypeConverter;

/** Reads {@code 5s}. */
final class TimeConverter implements ITypeConverter<Duration> {
  @Override
  public Duration convert(String text) {
    return TimeText.parse(text);
  }
}
