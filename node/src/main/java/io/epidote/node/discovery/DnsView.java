package io.epidote.node.discovery;

import static java.util.Objects.requireNonNull;

import io.epidote.proto.v1.Stage;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.security.Security;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Services are names with an address for each process, as a headless Service of Kubernetes has
 * them. Names are looked up every second; one that cannot be resolved has the addresses it had.
 */
public final class DnsView implements ClusterView {
  private static final Logger log = LoggerFactory.getLogger(DnsView.class);
  private static final Duration PERIOD = Duration.ofSeconds(1);

  /** Looks a name up. */
  public interface Resolver {
    /**
     * Every address of a name.
     *
     * @throws UnknownHostException when it has none now
     */
    List<String> addresses(String name) throws UnknownHostException;
  }

  private final Resolver resolver;
  private final ScheduledThreadPoolExecutor timer =
      new ScheduledThreadPoolExecutor(1, Thread.ofPlatform().daemon().name("dns-view").factory());

  public DnsView(Resolver resolver) {
    this.resolver = requireNonNull(resolver, "resolver is null");
  }

  /**
   * By the system's resolver. The JDK remembers addresses for half a minute unless it is told
   * otherwise before the first lookup, so this comes early in a process.
   */
  public static DnsView ofSystem() {
    Security.setProperty("networkaddress.cache.ttl", "0");
    Security.setProperty("networkaddress.cache.negative.ttl", "0");
    return new DnsView(name ->
        Arrays.stream(InetAddress.getAllByName(name)).map(InetAddress::getHostAddress).toList());
  }

  @Override
  public void watch(Collection<String> services, Consumer<Set<Peer>> listener) {
    Watch watch = new Watch(List.copyOf(services), listener);
    timer.scheduleWithFixedDelay(watch::look, 0, PERIOD.toMillis(), TimeUnit.MILLISECONDS);
  }

  @Override
  public boolean leads() {
    return true;
  }

  @Override
  public void showRole(String nodeId, Set<Stage> stages) {}

  @Override
  public void close() {
    timer.shutdownNow();
  }

  /** Of the timer's thread. */
  private final class Watch {
    private final List<String> services;
    private final Consumer<Set<Peer>> listener;
    private final Map<String, List<String>> known = new HashMap<>();
    private Set<Peer> told = Set.of();

    Watch(List<String> services, Consumer<Set<Peer>> listener) {
      this.services = services;
      this.listener = listener;
    }

    void look() {
      services.forEach(this::resolve);
      Set<Peer> peers =
          known.entrySet().stream()
              .flatMap(service ->
                  service.getValue().stream().map(host -> new Peer(service.getKey(), host, false)))
              .collect(Collectors.toUnmodifiableSet());
      if (peers.equals(told)) {
        return;
      }
      told = peers;
      try {
        listener.accept(peers);
      } catch (RuntimeException e) {
        log.error("A change of {} was not understood", services, e);
      }
    }

    private void resolve(String service) {
      try {
        List<String> found = resolver.addresses(service);
        if (!found.isEmpty()) {
          known.put(service, found);
        }
      } catch (UnknownHostException e) {
        log.debug("{} has no address now: {}", service, e.getMessage());
      }
    }
  }
}
