package io.epidote.node.tls;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * PEM files.
 *
 * @param cert own certificate, behind it those of intermediate authorities; empty for a client that
 *     shows none
 * @param key of the certificate, PKCS#8; empty with it
 * @param ca certificates of the authorities that others' must come from
 */
public record TlsFiles(Optional<Path> cert, Optional<Path> key, Path ca) {
  /** No file of a few certificates is larger. */
  private static final long MOST_BYTES = 1 << 20;

  public TlsFiles {
    requireNonNull(ca, "ca is null");
    if (cert.isPresent() != key.isPresent()) {
      throw new InvalidRequest(
          "A certificate and its key go together: give both --tls-cert and --tls-key, or neither");
    }
  }

  /** A member's files. */
  public TlsFiles(Path cert, Path key, Path ca) {
    this(Optional.of(cert), Optional.of(key), ca);
  }

  /**
   * The files' content; empty where there is no file.
   *
   * @throws InvalidRequest when a file cannot be read
   */
  Content read() {
    return new Content(
        cert.map(file -> read("--tls-cert", file)).orElse(""),
        key.map(file -> read("--tls-key", file)).orElse(""),
        read("--tls-ca", ca));
  }

  private static String read(String option, Path file) {
    try {
      if (Files.size(file) > MOST_BYTES) {
        throw new InvalidRequest(
            "%s %s has more than %d bytes; expected a PEM file"
                .formatted(option, file, MOST_BYTES));
      }
      return Files.readString(file);
    } catch (IOException e) {
      throw new InvalidRequest(
          "%s %s cannot be read (%s); expected a PEM file"
              .formatted(option, file, e.getClass().getSimpleName()),
          e);
    }
  }

  /** What stands in the files. Has a key: not for logs. */
  record Content(String cert, String key, String ca) {
    @Override
    public String toString() {
      return "Content[...]";
    }
  }
}
