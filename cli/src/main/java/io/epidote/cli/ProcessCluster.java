package io.epidote.cli;

import io.epidote.proto.v1.Stage;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** A cluster of processes on this machine: a router and each node in a process of its own. */
final class ProcessCluster implements Cluster {
  private final List<ChildProcess> children = new ArrayList<>();
  private final List<String> startTimes = new ArrayList<>();
  private final Map<String, String> metrics = new LinkedHashMap<>();
  private final LogFolder logs = LogFolder.make(Optional.empty());
  private final Thread hook = new Thread(this::stop, "stop-children");
  private String grpcAddress = "";
  private String adminAddress = "";
  private String httpAddress = "";

  private ProcessCluster() {}

  /** Starts all processes and returns when every node serves and is registered. */
  static ProcessCluster start(ClusterOptions options, List<NodeSpec> nodes, Progress progress) {
    ProcessCluster cluster = new ProcessCluster();
    Runtime.getRuntime().addShutdownHook(cluster.hook);
    try {
      cluster.startAll(options, nodes, progress);
      return cluster;
    } catch (RuntimeException e) {
      cluster.close();
      throw e;
    }
  }

  private void startAll(ClusterOptions options, List<NodeSpec> nodes, Progress progress) {
    progress.update("starting the router");
    options.allowWatched();
    ChildProcess routerProcess =
        ChildProcess.start("router", logs.path(), options.routerArguments());
    children.add(routerProcess);
    Map<String, String> routerReady = awaitReady("router", routerProcess);
    httpAddress = routerReady.getOrDefault("http", "");
    adminAddress = routerReady.getOrDefault("admin", "");
    grpcAddress = routerReady.getOrDefault("grpc", "");
    for (int i = 0; i < nodes.size(); i++) {
      NodeSpec node = nodes.get(i);
      List<String> flags =
          node.stages().equals(Set.of(Stage.STAGE_ENCODE)) ? ChildProcess.ENCODE_HEAP : List.of();
      children.add(
          ChildProcess.start(
              node.name(), logs.path(), flags, options.nodeArguments(node, i, grpcAddress)));
    }
    for (int i = 0; i < nodes.size(); i++) {
      progress.update("starting " + children.size() + " processes");
      String node = nodes.get(i).name();
      String address = awaitReady(node, children.get(i + 1)).get("metrics");
      if (address != null) {
        metrics.put(node, address);
      }
    }
    ClusterStart.awaitNodes(
        grpcAddress, nodes.size(), progress, ConnectionOptions.of(options.node.tls));
  }

  /** The {@code key=value} words of the process's ready line. */
  private Map<String, String> awaitReady(String name, ChildProcess child) {
    Map<String, String> words = child.awaitWords(ClusterStart.TIMEOUT);
    startTimes.add(name + " " + words.getOrDefault("after", "?"));
    return words;
  }

  @Override
  public Map<String, String> metricsAddresses() {
    return metrics;
  }

  @Override
  public String startTimes() {
    return String.join(", ", startTimes);
  }

  @Override
  public String grpcAddress() {
    return grpcAddress;
  }

  @Override
  public String adminAddress() {
    return adminAddress;
  }

  @Override
  public String httpAddress() {
    return httpAddress;
  }

  /** The processes, the router first. */
  List<ChildProcess> children() {
    return List.copyOf(children);
  }

  private synchronized void stop() {
    // Nodes first, so that none of them sees its router go and logs a reconnect.
    children.reversed().forEach(ChildProcess::signal);
    children.reversed().forEach(ChildProcess::close);
    children.clear();
    logs.close();
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
