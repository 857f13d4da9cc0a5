package io.epidote.node;

import io.epidote.node.registry.RegistrationClient;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The routers that a node belongs to. */
final class Registrations implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(Registrations.class);

  private volatile List<RegistrationClient> clients = List.of();

  void start(List<RegistrationClient> all) {
    clients = List.copyOf(all);
    clients.forEach(RegistrationClient::start);
  }

  boolean areRegistered() {
    return clients.stream().allMatch(RegistrationClient::isRegistered);
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

  /** Says goodbye. */
  @Override
  public void close() {
    clients.forEach(RegistrationClient::close);
  }
}
