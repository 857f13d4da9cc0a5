package io.epidote.cli;

import io.epidote.node.NodeRuntime;
import io.epidote.router.Router;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/**
 * A router and nodes in this process. They still meet over sockets, as in processes of their own.
 */
final class LocalCluster implements Cluster {
  private static final String HOST = "127.0.0.1";

  private final Router router;
  private final List<NodeRuntime> nodes = new ArrayList<>();
  private final Map<String, MetricsServer> metrics = new LinkedHashMap<>();
  private String startTime = "";
  private final Thread hook = new Thread(this::stop, "stop-cluster");

  private LocalCluster(Router router) {
    this.router = router;
  }

  static LocalCluster start(ClusterOptions options, List<NodeSpec> specs, Progress progress) {
    progress.update("starting the router");
    options.allowWatched();
    LocalCluster cluster =
        new LocalCluster(
            Router.start(
                options
                    .router
                    .config(
                        options.modelFolder(),
                        HOST,
                        options.ports,
                        options.node.tenants,
                        options.node.tls,
                        options.node.roots,
                        options.node.tracing)
                    .build()));
    Runtime.getRuntime().addShutdownHook(cluster.hook);
    try {
      for (NodeSpec spec : specs) {
        progress.update("starting " + spec.name());
        cluster.start(options, spec);
      }
      ClusterStart.awaitNodes(
          cluster.grpcAddress(), specs.size(), progress, ConnectionOptions.of(options.node.tls));
      cluster.startTime = "all in one process " + ClusterStart.age();
      return cluster;
    } catch (RuntimeException e) {
      cluster.close();
      throw e;
    }
  }

  private void start(ClusterOptions options, NodeSpec spec) {
    OptionalInt port = options.metricsPort(nodes.size());
    if (port.isEmpty()) {
      nodes.add(NodeLauncher.start(settings(options, spec), new SimpleMeterRegistry()));
      return;
    }
    PrometheusMeterRegistry meters = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    NodeRuntime node = NodeLauncher.start(settings(options, spec), meters);
    nodes.add(node);
    MetricsServer served =
        MetricsServer.start(
            HOST,
            port.getAsInt(),
            spec.name(),
            options.modelFolder().getFileName().toString(),
            meters,
            node);
    metrics.put(spec.name(), served);
  }

  private NodeLauncher.Settings settings(ClusterOptions options, NodeSpec spec) {
    return new NodeLauncher.Settings(
        spec, options.modelFolder(), HOST, HOST, 0, List.of(grpcAddress()), options.node);
  }

  @Override
  public String grpcAddress() {
    return HOST + ":" + router.grpcPort();
  }

  @Override
  public String adminAddress() {
    return HOST + ":" + router.adminPort();
  }

  @Override
  public String httpAddress() {
    return HOST + ":" + router.httpPort();
  }

  @Override
  public Map<String, String> metricsAddresses() {
    Map<String, String> addresses = new LinkedHashMap<>();
    metrics.forEach((node, served) -> addresses.put(node, HOST + ":" + served.port()));
    return addresses;
  }

  @Override
  public String startTimes() {
    return startTime;
  }

  /** Starts one more node, which has a copy of the cluster's options. */
  void addNode(ClusterOptions options, NodeSpec spec) {
    start(options, spec);
    ClusterStart.awaitNodes(
        grpcAddress(), nodes.size(), new Progress(), ConnectionOptions.of(options.node.tls));
  }

  /** Stops one node, in the order of the specs, as if it left for good. */
  void stopNode(int index) {
    nodes.get(index).close();
  }

  private synchronized void stop() {
    router.drain();
    metrics.values().forEach(MetricsServer::close);
    metrics.clear();
    // Before the router, which they would look for.
    nodes.forEach(NodeRuntime::close);
    nodes.clear();
    router.close();
  }

  @Override
  public void close() {
    stop();
    try {
      Runtime.getRuntime().removeShutdownHook(hook);
    } catch (IllegalStateException e) {
      // The JVM is going down and the hook runs already.
    }
  }
}
