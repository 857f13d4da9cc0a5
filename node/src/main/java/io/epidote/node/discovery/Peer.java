package io.epidote.node.discovery;

import static java.util.Objects.requireNonNull;

/**
 * A process of the cluster, as others know it.
 *
 * @param service under which it was found, one of those that were asked for
 * @param host an address, or a name where nothing else is known; IPv6 without brackets
 * @param leaving whether it is to stop: nothing new belongs there
 */
public record Peer(String service, String host, boolean leaving) {
  public Peer {
    requireNonNull(service, "service is null");
    requireNonNull(host, "host is null");
  }

  /** {@code host:port}, with brackets around an IPv6 host. */
  public String address(int port) {
    return (host.contains(":") ? "[" + host + "]" : host) + ":" + port;
  }
}
