package io.epidote.cli;

import io.epidote.engine.error.EpidoteException;
import io.epidote.proto.v1.GetLoadResponse;
import io.epidote.proto.v1.NodeStatus;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/**
 * What a cluster that nobody asks anything still holds: blocks, leases, requests.
 *
 * @param settledAfter seconds until nothing was left, or that were waited
 * @param left of each member that holds something or is missing, what
 * @param integrityChecks of all nodes
 */
record ClusterAccounts(double settledAfter, Map<String, String> left, long integrityChecks) {
  private static final long STEP_MS = 250;

  /** Looks until nothing is left, or for so long. */
  static ClusterAccounts settle(
      String router, ConnectionOptions as, Set<String> nodes, Duration atMost)
      throws InterruptedException {
    long start = System.nanoTime();
    try (InferenceClient client = new InferenceClient(router, as)) {
      while (true) {
        Map<String, String> left = new LinkedHashMap<>();
        long checks = 0;
        try {
          GetLoadResponse load = client.load();
          left.putAll(leftOf(load, nodes));
          checks = load.getNodesList().stream().mapToLong(NodeStatus::getIntegrityChecks).sum();
        } catch (EpidoteException e) {
          left.put("router", "does not answer: " + e.getMessage());
        }
        double seconds = (System.nanoTime() - start) / 1e9;
        if (left.isEmpty() || seconds >= atMost.toMillis() / 1e3) {
          return new ClusterAccounts(seconds, left, checks);
        }
        TimeUnit.MILLISECONDS.sleep(STEP_MS);
      }
    }
  }

  private static Map<String, String> leftOf(GetLoadResponse load, Set<String> nodes) {
    Map<String, String> left = new LinkedHashMap<>();
    nodes.forEach(node -> left.put(node, "is not registered"));
    for (NodeStatus node : load.getNodesList()) {
      List<String> holds = new ArrayList<>();
      add(holds, node.getKvBlocksUsed(), "KV blocks");
      add(holds, node.getMediaBlocksUsed(), "media blocks");
      add(holds, node.getSwapBlocksUsed(), "swap blocks");
      add(holds, node.getHandles(), "handles");
      add(holds, node.getRunning(), "running");
      add(holds, node.getQueued(), "queued");
      add(holds, node.getAwaiting(), "awaiting input");
      if (!node.getFault().isEmpty()) {
        holds.add("fault: " + node.getFault());
      }
      if (holds.isEmpty()) {
        left.remove(node.getNodeId());
      } else {
        left.put(node.getNodeId(), String.join(", ", holds));
      }
    }
    if (load.getRequestsInFlight() > 0) {
      left.put("router", load.getRequestsInFlight() + " requests in flight");
    }
    return left;
  }

  private static void add(List<String> holds, int count, String what) {
    if (count != 0) {
      holds.add(count + " " + what);
    }
  }
}
