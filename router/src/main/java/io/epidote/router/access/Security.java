package io.epidote.router.access;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.node.tls.TlsFiles;
import io.epidote.router.media.MediaUrls;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Whom a router lets in, and what it does for them beyond its own cluster.
 *
 * @param tls its certificates; empty for plaintext
 * @param certificates whether clients must show one, too, and not nodes and administrators alone
 * @param keys file of API keys; empty when clients need none
 * @param shareCaches whether tenants find each other's cached prompts
 * @param http what connections to the HTTP port may take
 * @param media from where it fetches media for them
 */
public record Security(
    Optional<TlsFiles> tls,
    boolean certificates,
    Optional<Path> keys,
    boolean shareCaches,
    HttpLimits http,
    MediaUrls media) {
  /** Everybody who reaches a port. */
  public static final Security OPEN =
      new Security(
          Optional.empty(), false, Optional.empty(), false, HttpLimits.DEFAULT, MediaUrls.NONE);

  public Security {
    requireNonNull(tls, "tls is null");
    requireNonNull(keys, "keys is null");
    requireNonNull(http, "http is null");
    requireNonNull(media, "media is null");
    if (certificates && tls.isEmpty()) {
      throw new InvalidRequest(
          "Clients can show certificates over TLS only: give --tls-cert, --tls-key and --tls-ca");
    }
  }
}
