package io.epidote.router.openai;

import io.epidote.router.access.HttpLimits;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import java.net.InetAddress;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * All connections of the HTTP port, within their bounds: whoever is too slow goes, and when there
 * are too many, whoever has been without a request for longest. So somebody who opens connections
 * and says little has them for a while, and keeps nobody else out. Thread-safe.
 */
final class Connections {
  private final HttpLimits limits;
  private final Set<HttpConnection> open = new HashSet<>();
  private final Map<InetAddress, Integer> byAddress = new HashMap<>();
  private final Counter slow;
  private final Counter crowded;

  Connections(HttpLimits limits, MeterRegistry meters) {
    this.limits = limits;
    slow = closed(meters, "slow");
    crowded = closed(meters, "too_many");
    Gauge.builder("epidote_http_connections", this, Connections::count)
        .description("Open connections of the HTTP port")
        .register(meters);
  }

  private static Counter closed(MeterRegistry meters, String why) {
    return Counter.builder("epidote_http_connections_closed")
        .description("Connections that were closed because clients were too slow or too many")
        .tag("why", why)
        .register(meters);
  }

  private synchronized double count() {
    return open.size();
  }

  /** Whether a new connection may be; another one may have to go for it. */
  synchronized boolean admit(HttpConnection connection, InetAddress address) {
    if (limits.maxPerAddress() > 0
        && byAddress.getOrDefault(address, 0) >= limits.maxPerAddress()) {
      crowded.increment();
      return false;
    }
    if (open.size() >= limits.maxConnections()) {
      crowded.increment();
      Optional<HttpConnection> longest =
          open.stream()
              .filter(each -> each.pace().waits() != Pace.Waits.ANSWER)
              .filter(each -> each.pace().waits() != Pace.Waits.BODY)
              .min(Comparator.comparing(HttpConnection::pace, Connections::before));
      if (longest.isEmpty()) {
        return false;
      }
      longest.get().close();
      leave(longest.get());
    }
    open.add(connection);
    byAddress.merge(address, 1, Integer::sum);
    connection.joined(address);
    return true;
  }

  /** Who has never asked for anything is before who has. */
  private static int before(Pace one, Pace other) {
    boolean oneAsked = one.waits() == Pace.Waits.NEXT;
    boolean otherAsked = other.waits() == Pace.Waits.NEXT;
    return oneAsked != otherAsked
        ? Boolean.compare(oneAsked, otherAsked)
        : Long.signum(one.since() - other.since());
  }

  synchronized void leave(HttpConnection connection) {
    if (open.remove(connection)) {
      connection
          .address()
          .ifPresent(address ->
              byAddress.computeIfPresent(
                  address, (_, count) -> count == 1 ? null : Integer.valueOf(count - 1)));
    }
  }

  /** Ends whoever has had its time. */
  void sweep() {
    long now = System.nanoTime();
    List<HttpConnection> all;
    synchronized (this) {
      all = List.copyOf(open);
    }
    for (HttpConnection each : all) {
      if (each.isReading() && each.pace().isOver(limits, now)) {
        slow.increment();
        each.late();
      }
    }
  }
}
