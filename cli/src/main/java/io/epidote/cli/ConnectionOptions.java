package io.epidote.cli;

import io.epidote.cli.load.Access;
import io.epidote.node.tls.Tls;
import io.grpc.ManagedChannel;
import java.util.Optional;
import picocli.CommandLine.Mixin;

/** How a client reaches a router: over TLS or not, and as whom. */
final class ConnectionOptions {
  @Mixin TlsOptions tls = new TlsOptions();
  @Mixin KeyOptions key = new KeyOptions();

  /** Neither TLS nor key. */
  static ConnectionOptions plain() {
    return new ConnectionOptions();
  }

  /** The same certificates, as a client shows them. */
  static ConnectionOptions of(TlsOptions tls) {
    return of(tls, new KeyOptions());
  }

  /** The same certificates, and a key. */
  static ConnectionOptions of(TlsOptions tls, KeyOptions key) {
    ConnectionOptions options = new ConnectionOptions();
    options.tls = tls;
    options.key = key;
    return options;
  }

  /** What they say, read now: a command is over before its certificates change. */
  Access access() {
    return access(key.key());
  }

  /** The same with another key. */
  Access access(Optional<String> token) {
    return new Access(
        tls.client()
            .map(files -> {
              try (Tls own = Tls.open(files)) {
                return new Access.Certificates(own.webClient(), own.userClient());
              }
            }),
        token);
  }

  /**
   * A channel; the caller ends it.
   *
   * @param address host:port
   */
  ManagedChannel open(String address) {
    return access().channel(address).build();
  }
}
