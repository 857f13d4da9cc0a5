package io.epidote.cli;

import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.ConsoleAppender;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Option;

/** How a process writes its log. */
final class LogOptions {
  private static final String TEXT = "text";
  private static final String JSON = "json";

  @Option(
      names = "--log-format",
      paramLabel = "FORM",
      description = "The log on standard error: text, or json, an object a line. Default: text.")
  String format = TEXT;

  /** Takes effect from the next line on. */
  void apply() {
    if (format.equals(TEXT)) {
      return;
    }
    if (!format.equals(JSON)) {
      throw new InvalidRequest(
          "--log-format %s is unknown; expected text or json".formatted(format));
    }
    LoggerContext context = (LoggerContext) LoggerFactory.getILoggerFactory();
    JsonLines lines = new JsonLines();
    lines.setContext(context);
    lines.start();
    context
        .getLogger(Logger.ROOT_LOGGER_NAME)
        .iteratorForAppenders()
        .forEachRemaining(appender -> {
          if (appender instanceof ConsoleAppender<ILoggingEvent> console) {
            console.setEncoder(lines);
          }
        });
  }

  /** The same options for another process. */
  List<String> arguments() {
    return format.equals(TEXT) ? List.of() : List.of("--log-format", format);
  }
}
