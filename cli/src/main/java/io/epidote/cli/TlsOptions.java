package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.tls.TlsFiles;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Certificates of a member of a cluster, or of a client of one. */
final class TlsOptions {
  @Option(
      names = "--tls-cert",
      paramLabel = "FILE",
      description =
          "Own certificate (PEM), behind it those of intermediate authorities. Members of a cluster need a role in it: a name such as spiffe://DOMAIN/epidote/node, or router, or admin.")
  @Nullable Path cert;

  @Option(
      names = "--tls-key",
      paramLabel = "FILE",
      description = "The key of --tls-cert (PEM, PKCS#8, no password).")
  @Nullable Path key;

  @Option(
      names = "--tls-ca",
      paramLabel = "FILE",
      description =
          "Certificates (PEM) of the authorities that others' certificates must come from. The three files are read again when they change. Default: no TLS.")
  @Nullable Path ca;

  /** The files of a server, all three or none. */
  Optional<TlsFiles> server() {
    Optional<TlsFiles> files = client();
    if (files.isPresent() && files.get().cert().isEmpty()) {
      throw new InvalidRequest("A server needs --tls-cert and --tls-key with --tls-ca");
    }
    return files;
  }

  /** The files of a client, which may show a certificate. */
  Optional<TlsFiles> client() {
    if (ca == null) {
      if (cert != null || key != null) {
        throw new InvalidRequest(
            "--tls-cert and --tls-key need --tls-ca: by what others are known");
      }
      return Optional.empty();
    }
    return Optional.of(new TlsFiles(Optional.ofNullable(cert), Optional.ofNullable(key), ca));
  }

  /** The same options for another process. */
  List<String> arguments() {
    List<String> arguments = new ArrayList<>();
    add(arguments, "--tls-cert", cert);
    add(arguments, "--tls-key", key);
    add(arguments, "--tls-ca", ca);
    return arguments;
  }

  private static void add(List<String> arguments, String option, @Nullable Path file) {
    if (file != null) {
      arguments.addAll(List.of(option, file.toAbsolutePath().toString()));
    }
  }
}
