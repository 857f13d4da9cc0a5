package io.epidote.node;

import io.epidote.node.discovery.ClusterView;
import io.epidote.node.discovery.Peer;
import io.epidote.node.grpc.GrpcTransport;
import io.epidote.node.registry.RegistrationClient;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The routers that a node belongs to: all that a view of the cluster tells. A router that the view
 * does not tell any more is left when its stream ends, not before: who is still served by it knows
 * better than a name service.
 */
final class Registrations implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(Registrations.class);

  /** A router that does not answer holds nobody up for longer than this. */
  private static final Duration GOODBYE = Duration.ofMillis(500);

  private volatile List<RegistrationClient> clients = List.of();
  private volatile boolean follows;
  private boolean closed;

  /**
   * Registers with every router that the view tells from now on.
   *
   * @param routers {@code host:port} of each, where host is what the view looks for
   * @param client makes one for an address
   */
  void follow(ClusterView view, List<String> routers, Function<String, RegistrationClient> client) {
    if (routers.isEmpty()) {
      return;
    }
    follows = true;
    List<InetSocketAddress> services = routers.stream().map(GrpcTransport::parse).toList();
    view.watch(
        services.stream().map(InetSocketAddress::getHostString).distinct().toList(),
        peers -> update(addresses(services, peers), client));
  }

  private static Set<String> addresses(List<InetSocketAddress> services, Set<Peer> peers) {
    Set<String> addresses = new TreeSet<>();
    for (InetSocketAddress service : services) {
      peers.stream()
          .filter(peer -> peer.service().equals(service.getHostString()))
          .forEach(peer -> addresses.add(peer.address(service.getPort())));
    }
    return addresses;
  }

  private synchronized void update(
      Set<String> addresses, Function<String, RegistrationClient> client) {
    if (closed) {
      return;
    }
    List<RegistrationClient> next = new ArrayList<>();
    for (RegistrationClient present : clients) {
      if (present.want(addresses.contains(present.router()))) {
        next.add(present);
      }
    }
    for (String address : addresses) {
      if (next.stream().noneMatch(present -> present.router().equals(address))) {
        RegistrationClient added = client.apply(address);
        added.start();
        next.add(added);
      }
    }
    clients = List.copyOf(next);
  }

  /** With every router that is known; false while none is, though some are looked for. */
  boolean areRegistered() {
    List<RegistrationClient> present = clients;
    return (!present.isEmpty() || !follows)
        && present.stream().allMatch(RegistrationClient::isRegistered);
  }

  /** With one at least. */
  boolean isRegistered() {
    return clients.stream().anyMatch(RegistrationClient::isRegistered);
  }

  /** Reports to all at once, and waits until the reports are on their way, or for the bound. */
  void reportNow(Duration bound) {
    await(RegistrationClient::reportNow, bound, "told of a change");
  }

  /** The same without waiting. */
  void reportSoon() {
    clients.forEach(RegistrationClient::reportNow);
  }

  /** Says hello again to all that are connected, and waits for their welcome, or for the bound. */
  void registerAgain(Duration bound) {
    await(RegistrationClient::registerAgain, bound, "told of the node's new stages");
  }

  private void await(
      Function<RegistrationClient, CompletableFuture<Void>> tell, Duration bound, String what) {
    try {
      CompletableFuture.allOf(clients.stream().map(tell).toArray(CompletableFuture<?>[]::new))
          .get(bound.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (ExecutionException | TimeoutException e) {
      log.warn("A router could not be {} within {} ms", what, bound.toMillis());
    }
  }

  /** Says goodbye to all, and waits until they have heard it, or for a moment. */
  @Override
  public void close() {
    synchronized (this) {
      closed = true;
    }
    await(RegistrationClient::leave, GOODBYE, "told goodbye");
  }
}
