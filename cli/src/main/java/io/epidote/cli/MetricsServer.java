package io.epidote.cli;

import com.sun.net.httpserver.HttpServer;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;

/** A node's {@code /metrics}. Whoever reaches the port may read them, and nothing else. */
final class MetricsServer implements AutoCloseable {
  private final HttpServer server;

  private MetricsServer(HttpServer server) {
    this.server = server;
  }

  /**
   * @param port 0 for any free one
   * @throws Unavailable when the port cannot be had
   */
  static MetricsServer start(String host, int port, PrometheusMeterRegistry meters) {
    HttpServer server;
    try {
      server = HttpServer.create(new InetSocketAddress(host, port), 0);
    } catch (IOException e) {
      throw new Unavailable(
          "Cannot listen for metrics on %s port %d: %s. Stop the process that has the port, or choose another with --metrics-port."
              .formatted(host, port, e.getMessage()),
          e);
    }
    server.createContext(
        "/metrics",
        exchange -> {
          try (exchange) {
            byte[] text = meters.scrape().getBytes(StandardCharsets.UTF_8);
            exchange
                .getResponseHeaders()
                .set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
            exchange.sendResponseHeaders(200, text.length);
            exchange.getResponseBody().write(text);
          }
        });
    server.start();
    return new MetricsServer(server);
  }

  int port() {
    return server.getAddress().getPort();
  }

  @Override
  public void close() {
    server.stop(0);
  }
}
