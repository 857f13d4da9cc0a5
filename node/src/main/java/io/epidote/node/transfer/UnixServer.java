package io.epidote.node.transfer;

import io.grpc.Server;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A node's transfer service on a Unix socket, for the nodes of the same machine and user. */
public final class UnixServer implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(UnixServer.class);

  private final Server server;
  private final Path socket;

  private UnixServer(Server server, Path socket) {
    this.server = server;
    this.socket = socket;
  }

  /**
   * Listens where the platform lets it; where not, others come over TCP.
   *
   * @param address and {@code epoch} are those of the node's handles
   */
  public static Optional<UnixServer> tryStart(
      BulkTransport transport, TransferServer transfers, String address, long epoch) {
    Optional<UnixSockets> sockets = UnixSockets.open();
    if (sockets.isEmpty()) {
      return Optional.empty();
    }
    sockets.get().sweep();
    Path socket = sockets.get().path(address, epoch);
    try {
      Server server = transport.unixServer(socket).addService(transfers).build().start();
      return Optional.of(new UnixServer(server, socket));
    } catch (IOException e) {
      log.warn("Cannot listen on {}; nodes of this machine pull over TCP", socket, e);
      return Optional.empty();
    }
  }

  /** Ends every pull and removes the socket. */
  @Override
  public void close() {
    server.shutdownNow();
    try {
      server.awaitTermination(2, TimeUnit.SECONDS);
      Files.deleteIfExists(socket);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (IOException e) {
      log.debug("Cannot remove {}", socket, e);
    }
  }
}
