package io.epidote.trainer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Locale;

/** Lines with the seconds since the start, on standard output and at the end of a file. */
final class TrainingLog {
  private final Path file;
  private final long started = System.nanoTime();

  TrainingLog(Path file) {
    this.file = file;
  }

  void line(String line) throws IOException {
    String stamped =
        String.format(Locale.ROOT, "%7.1f s  %s%n", (System.nanoTime() - started) / 1e9, line);
    System.out.print(stamped);
    Files.writeString(file, stamped, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
  }
}
