package io.epidote.cli;

import io.epidote.cli.load.TimeText;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.router.access.HttpLimits;
import io.epidote.router.access.Security;
import io.epidote.router.media.MediaUrls;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Whom a router lets in. */
final class SecurityOptions {
  private static final String MEMBERS = "members";
  private static final String ALL = "all";

  @Option(
      names = "--tls-client-auth",
      paramLabel = "WHO",
      description =
          "Who must show a certificate where there is TLS: members, which are nodes and administrators; or all, clients of the HTTP and gRPC ports, too. Default: ${DEFAULT-VALUE}.")
  String clientAuth = MEMBERS;

  @Option(
      names = "--api-keys",
      paramLabel = "FILE",
      description =
          "Clients of the HTTP and gRPC ports need an API key of this file, which 'epidote keys add' makes; a key is of a tenant. It is read again when it changes. Default: no keys.")
  @Nullable Path apiKeys;

  @Option(
      names = "--tenants-share-kv",
      description =
          "Let tenants find each other's cached prompts. One can then tell by an answer's speed what another has asked.")
  boolean shareKv;

  @Option(
      names = "--max-connections",
      paramLabel = "N",
      description =
          "Connections to the HTTP port at a time; for one more, whoever has been without a request for longest goes, of the address that has most. Default: ${DEFAULT-VALUE}.")
  int maxConnections = HttpLimits.DEFAULT.maxConnections();

  @Option(
      names = "--max-connections-per-address",
      paramLabel = "N",
      description = "Of these, from one address; 0 for any number. Default: ${DEFAULT-VALUE}.")
  int maxPerAddress = HttpLimits.DEFAULT.maxPerAddress();

  @Option(
      names = "--media-urls",
      paramLabel = "HOST,...",
      split = ",",
      description =
          "Fetch pictures that requests name by http(s) addresses of these hosts: example.org, *.example.org, example.org:8443. Private addresses and redirects are refused. Default: nothing is fetched.")
  List<String> mediaHosts = new ArrayList<>();

  @Option(
      names = "--media-url-timeout",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description = "How long such a fetch may take. Default: 10s.")
  Duration mediaTimeout = Duration.ofSeconds(10);

  Security of(TlsOptions tls) {
    if (!clientAuth.equals(MEMBERS) && !clientAuth.equals(ALL)) {
      throw new InvalidRequest(
          "--tls-client-auth %s is unknown; expected members or all".formatted(clientAuth));
    }
    return new Security(
        tls.server(),
        clientAuth.equals(ALL),
        Optional.ofNullable(apiKeys),
        shareKv,
        HttpLimits.DEFAULT.withConnections(maxConnections, maxPerAddress),
        new MediaUrls(mediaHosts, MediaUrls.NONE.maxBytes(), mediaTimeout));
  }

  /** The same options for another process. */
  List<String> arguments() {
    List<String> arguments =
        new ArrayList<>(
            List.of(
                "--tls-client-auth",
                clientAuth,
                "--max-connections",
                Integer.toString(maxConnections),
                "--max-connections-per-address",
                Integer.toString(maxPerAddress)));
    if (apiKeys != null) {
      arguments.addAll(List.of("--api-keys", apiKeys.toAbsolutePath().toString()));
    }
    if (!mediaHosts.isEmpty()) {
      arguments.addAll(
          List.of(
              "--media-urls",
              String.join(",", mediaHosts),
              "--media-url-timeout",
              TimeText.of(mediaTimeout)));
    }
    if (shareKv) {
      arguments.add("--tenants-share-kv");
    }
    return arguments;
  }
}
