package io.epidote.cli;

import java.io.PrintStream;
import java.time.Duration;

/**
 * One line on standard error that says how far a long job is. On a terminal the line is rewritten;
 * elsewhere a new one comes every few seconds. Nothing is shown in a job's first two seconds.
 */
final class Progress implements AutoCloseable {
  private static final long FIRST = Duration.ofSeconds(2).toNanos();
  private static final long TERMINAL_STEP = Duration.ofMillis(100).toNanos();
  private static final long FILE_STEP = Duration.ofSeconds(5).toNanos();

  private final PrintStream out;
  private final boolean terminal;
  private final long started = System.nanoTime();
  private long next = started + FIRST;
  private int shown;

  Progress() {
    this.out = System.err;
    this.terminal = System.console() != null && System.console().isTerminal();
  }

  synchronized void update(String text) {
    long now = System.nanoTime();
    if (now < next) {
      return;
    }
    next = now + (terminal ? TERMINAL_STEP : FILE_STEP);
    String line = "%s (%.0f s)".formatted(text, (now - started) / 1e9);
    if (terminal) {
      out.print("\r" + line + " ".repeat(Math.max(0, shown - line.length())));
      out.flush();
      shown = line.length();
    } else {
      out.println(line);
    }
  }

  @Override
  public synchronized void close() {
    if (shown > 0) {
      out.print("\r" + " ".repeat(shown) + "\r");
      out.flush();
      shown = 0;
    }
  }
}
