package io.epidote.cli;

import com.sun.net.httpserver.HttpServer;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.node.BuildInfo;
import io.epidote.node.NodeRuntime;
import io.epidote.node.metrics.MetricsPage;
import io.epidote.node.metrics.ProcessMetrics;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.function.BooleanSupplier;

/**
 * A node's {@code /metrics}, and {@code /healthz} and {@code /readyz} for probes that cannot speak
 * gRPC over TLS. Whoever reaches the port may read them, and nothing else.
 */
final class MetricsServer implements AutoCloseable {
  private final HttpServer server;
  private final ProcessMetrics process;

  private MetricsServer(HttpServer server, ProcessMetrics process) {
    this.server = server;
    this.process = process;
  }

  /**
   * Serves a node's meters, and the process's own beside them.
   *
   * @param port 0 for any free one
   * @param name of the node
   * @param model name of what it serves
   * @throws Unavailable when the port cannot be had
   */
  static MetricsServer start(
      String host,
      int port,
      String name,
      String model,
      PrometheusMeterRegistry meters,
      NodeRuntime node) {
    HttpServer server;
    try {
      server = HttpServer.create(new InetSocketAddress(host, port), 0);
    } catch (IOException e) {
      throw new Unavailable(
          "Cannot listen for metrics on %s port %d: %s. Stop the process that has the port, or choose another with --metrics-port."
              .formatted(host, port, e.getMessage()),
          e);
    }
    ProcessMetrics process =
        ProcessMetrics.register(meters, "node", name, model, BuildInfo.VERSION);
    MetricsPage page = new MetricsPage(meters);
    server.createContext(
        "/metrics",
        exchange -> {
          try (exchange) {
            MetricsPage.Content content =
                page.read(exchange.getRequestHeaders().getFirst("Accept"));
            exchange.getResponseHeaders().set("Content-Type", content.type());
            exchange.sendResponseHeaders(200, content.bytes().length);
            exchange.getResponseBody().write(content.bytes());
          }
        });
    probe(server, "/healthz", node::isHealthy);
    probe(server, "/readyz", node::isReady);
    server.start();
    return new MetricsServer(server, process);
  }

  private static void probe(HttpServer server, String path, BooleanSupplier fine) {
    server.createContext(
        path,
        exchange -> {
          try (exchange) {
            exchange.sendResponseHeaders(fine.getAsBoolean() ? 200 : 503, -1);
          }
        });
  }

  int port() {
    return server.getAddress().getPort();
  }

  @Override
  public void close() {
    server.stop(0);
    process.close();
  }
}
