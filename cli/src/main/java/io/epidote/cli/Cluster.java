package io.epidote.cli;

import java.util.Map;

/** A running router with its nodes, however they were started. */
interface Cluster extends AutoCloseable {
  /** host:port of the router's gRPC port. */
  String grpcAddress();

  /** host:port at which adapters are loaded and unloaded. */
  String adminAddress();

  /** host:port of the router's HTTP port. */
  String httpAddress();

  /** host:port of each node's metrics by its name; empty where they are not served. */
  default Map<String, String> metricsAddresses() {
    return Map.of();
  }

  /** Who was ready how long after its process started, in words. */
  String startTimes();

  /** Stops everything; nothing of the cluster is left when this returns. */
  @Override
  void close();
}
