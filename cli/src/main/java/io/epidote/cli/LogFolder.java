package io.epidote.cli;

import io.epidote.engine.disk.Drafts;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Where the processes of a cluster log.
 *
 * @param path the folder
 * @param kept whether it stays there
 */
record LogFolder(Path path, boolean kept) implements AutoCloseable {
  /**
   * Made when it is not there.
   *
   * @param named empty for one that goes with the cluster
   */
  static LogFolder make(Optional<Path> named) {
    try {
      return named.isPresent()
          ? new LogFolder(Files.createDirectories(named.get()), true)
          : new LogFolder(Files.createTempDirectory("epidote-"), false);
    } catch (IOException e) {
      throw new UncheckedIOException("A folder for logs cannot be made: " + e.getMessage(), e);
    }
  }

  @Override
  public void close() {
    if (!kept) {
      try {
        Drafts.delete(path);
      } catch (IOException e) {
        System.err.println(
            "epidote: the logs in " + path + " could not be removed: " + e.getMessage());
      }
    }
  }
}
