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
import java.util.function.Predicate;

/**
 * All connections of the HTTP port, within their bounds: whoever is too slow goes, and when there
 * are too many, one of the address that has most: whoever has been without a request for longest,
 * or else sends its body slowest. An address alone has no more than seven eighths. So somebody who
 * opens many connections gives way to itself, and keeps nobody else out. Thread-safe.
 */
final class Connections {
  /** This part of all is for other addresses than the one that has most. */
  private static final int SPARED = 8;

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
    int mostOfOne = limits.maxConnections() - limits.maxConnections() / SPARED;
    if (open.size() >= limits.maxConnections() || byAddress.getOrDefault(address, 0) >= mostOfOne) {
      crowded.increment();
      Optional<HttpConnection> least = least(address);
      if (least.isEmpty()) {
        return false;
      }
      least.get().close();
      leave(least.get());
    }
    open.add(connection);
    byAddress.merge(address, 1, Integer::sum);
    connection.joined(address);
    return true;
  }

  /** Who goes for a connection of this address; nobody where only others would have to. */
  private Optional<HttpConnection> least(InetAddress newcomer) {
    InetAddress crowded =
        byAddress.entrySet().stream()
            .max(Map.Entry.comparingByValue())
            .map(Map.Entry::getKey)
            .orElse(newcomer);
    boolean own = byAddress.getOrDefault(newcomer, 0) >= byAddress.getOrDefault(crowded, 0);
    Predicate<HttpConnection> first = from(own ? newcomer : crowded);
    Optional<HttpConnection> least = longestIdle(first).or(() -> slowestBody(first));
    return own ? least : least.or(() -> longestIdle(_ -> true)).or(() -> slowestBody(_ -> true));
  }

  private static Predicate<HttpConnection> from(InetAddress address) {
    return each -> each.address().stream().anyMatch(address::equals);
  }

  private Optional<HttpConnection> longestIdle(Predicate<HttpConnection> among) {
    return open.stream()
        .filter(among)
        .filter(each -> each.pace().waits() != Pace.Waits.ANSWER)
        .filter(each -> each.pace().waits() != Pace.Waits.BODY)
        .min(Comparator.comparing(HttpConnection::pace, Connections::before));
  }

  /** Of those whose bodies come slower than they would have to in the long run. */
  private Optional<HttpConnection> slowestBody(Predicate<HttpConnection> among) {
    long now = System.nanoTime();
    return open.stream()
        .filter(among)
        .filter(each -> each.pace().waits() == Pace.Waits.BODY)
        .filter(each -> each.pace().bodyBytesPerSecond(now) < limits.leastBytesPerSecond())
        .min(Comparator.comparingDouble(each -> each.pace().bodyBytesPerSecond(now)));
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
      boolean over = each.isReading() && each.pace().isOver(limits, now);
      if ((over || each.pace().isStalled(limits, now)) && each.late()) {
        slow.increment();
      }
    }
  }
}
