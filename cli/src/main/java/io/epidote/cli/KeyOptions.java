package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The API key of a client, which never stands on a command line. */
final class KeyOptions {
  @Option(
      names = "--api-key-file",
      paramLabel = "FILE",
      description =
          "A file with the API key, where the router wants one. Default: the variable EPIDOTE_API_KEY, or none.")
  @Nullable Path file;

  /**
   * The key, or nothing.
   *
   * @throws InvalidRequest when the file cannot be read
   */
  Optional<String> key() {
    if (file == null) {
      return variable("EPIDOTE_API_KEY");
    }
    try {
      return Optional.of(Files.readString(file).strip());
    } catch (IOException e) {
      throw new InvalidRequest(
          "--api-key-file %s cannot be read (%s)".formatted(file, e.getClass().getSimpleName()), e);
    }
  }

  /** The same, from a variable where no file is named. */
  Optional<String> keyOr(String variable) {
    return file == null ? variable(variable).or(this::key) : key();
  }

  private static Optional<String> variable(String name) {
    return Optional.ofNullable(System.getenv(name)).filter(key -> !key.isBlank());
  }
}
