package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** Commands of the operating system. */
final class SystemCommand {
  private SystemCommand() {}

  /**
   * Runs one to its end.
   *
   * @throws Unavailable when it fails, with what it said
   */
  static void run(String... command) {
    try {
      Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
      String said =
          new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
      if (process.waitFor() != 0) {
        throw new Unavailable("'%s' failed: %s".formatted(String.join(" ", command), said));
      }
    } catch (IOException e) {
      throw new Unavailable(
          "'%s' cannot be run: %s".formatted(String.join(" ", command), e.getMessage()), e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new Unavailable("Interrupted", e);
    }
  }
}
