package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Locale;

/** Waits for a cluster to be whole. */
final class ClusterStart {
  static final Duration TIMEOUT = Duration.ofSeconds(60);

  private ClusterStart() {}

  /** The time since this JVM started, as {@code 1.8s}. */
  static String age() {
    long started = ManagementFactory.getRuntimeMXBean().getStartTime();
    return String.format(Locale.ROOT, "%.1fs", (System.currentTimeMillis() - started) / 1000.0);
  }

  /** Returns when the router knows this many nodes. */
  static void awaitNodes(String router, int nodes, Progress progress) {
    long deadline = System.nanoTime() + TIMEOUT.toNanos();
    try (InferenceClient client = new InferenceClient(router)) {
      while (client.load().getNodesCount() < nodes) {
        progress.update("waiting for the nodes to join the router");
        if (System.nanoTime() > deadline) {
          throw new Unavailable(
              "Fewer than %d nodes joined the router at %s within %d s; start the nodes by themselves to see why"
                  .formatted(nodes, router, TIMEOUT.toSeconds()));
        }
        try {
          Thread.sleep(20);
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
          throw new Unavailable("Interrupted while the cluster started", e);
        }
      }
    }
  }
}
