package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.tls.Tls;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** How a client reaches a router: over TLS or not, and as whom. */
final class ConnectionOptions {
  static final Metadata.Key<String> AUTHORIZATION =
      Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  @Mixin TlsOptions tls = new TlsOptions();

  @Option(
      names = "--api-key-file",
      paramLabel = "FILE",
      description =
          "A file with the API key, where the router wants one. Default: the variable EPIDOTE_API_KEY, or none.")
  @Nullable Path apiKeyFile;

  /** Neither TLS nor key. */
  static ConnectionOptions plain() {
    return new ConnectionOptions();
  }

  /** The same certificates, as a client shows them. */
  static ConnectionOptions of(TlsOptions tls) {
    ConnectionOptions options = new ConnectionOptions();
    options.tls = tls;
    return options;
  }

  /**
   * A channel; the caller ends it.
   *
   * @param address host:port
   */
  ManagedChannel open(String address) {
    NettyChannelBuilder builder =
        NettyChannelBuilder.forTarget("dns:///" + address).maxInboundMessageSize(64 << 20);
    tls.client()
        .ifPresentOrElse(
            files -> {
              // A command is over before its certificates change.
              try (Tls own = Tls.open(files)) {
                builder.sslContext(own.userClient());
              }
            },
            builder::usePlaintext);
    apiKey()
        .ifPresent(key -> {
          Metadata headers = new Metadata();
          headers.put(AUTHORIZATION, "Bearer " + key);
          builder.intercept(MetadataUtils.newAttachHeadersInterceptor(headers));
        });
    return builder.build();
  }

  private Optional<String> apiKey() {
    if (apiKeyFile == null) {
      return Optional.ofNullable(System.getenv("EPIDOTE_API_KEY")).filter(key -> !key.isBlank());
    }
    try {
      return Optional.of(Files.readString(apiKeyFile).strip());
    } catch (IOException e) {
      throw new InvalidRequest(
          "--api-key-file %s cannot be read (%s)"
              .formatted(apiKeyFile, e.getClass().getSimpleName()),
          e);
    }
  }
}
