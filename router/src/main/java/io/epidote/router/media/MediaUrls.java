package io.epidote.router.media;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/**
 * From where media are fetched.
 *
 * @param hosts names; {@code *.} in front for all below one, {@code :PORT} behind for another port
 *     than the scheme's
 * @param maxBytes of a file
 * @param timeout of a fetch, name resolution included
 */
public record MediaUrls(List<String> hosts, int maxBytes, Duration timeout) {
  /** Nothing is fetched. */
  public static final MediaUrls NONE = of(List.of());

  private static final Pattern HOST =
      Pattern.compile("(\\*\\.)?[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?");

  public MediaUrls {
    hosts = hosts.stream().map(host -> host.toLowerCase(Locale.ROOT)).toList();
    for (String host : hosts) {
      if (!HOST.matcher(host).matches()) {
        throw new InvalidRequest(
            "\"%s\" is no host for media; expected example.org, *.example.org or example.org:8443"
                .formatted(host));
      }
    }
  }

  /** Up to 20 MiB within 10 s. */
  public static MediaUrls of(List<String> hosts) {
    return new MediaUrls(hosts, 20 << 20, Duration.ofSeconds(10));
  }

  boolean allow(String host, int port, boolean usualPort) {
    String name = host.toLowerCase(Locale.ROOT);
    return hosts.stream()
        .anyMatch(allowed -> {
          int colon = allowed.indexOf(':');
          String wanted = colon < 0 ? allowed : allowed.substring(0, colon);
          boolean portFits =
              colon < 0 ? usualPort : Integer.parseInt(allowed.substring(colon + 1)) == port;
          boolean nameFits =
              wanted.startsWith("*.") ? name.endsWith(wanted.substring(1)) : name.equals(wanted);
          return portFits && nameFits;
        });
  }
}
