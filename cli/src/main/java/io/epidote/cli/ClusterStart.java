package io.epidote.cli;

import io.epidote.engine.error.EpidoteException.Unauthenticated;
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

  private static boolean areThere(InferenceClient client, int nodes) {
    try {
      return client.load().getNodesCount() >= nodes;
    } catch (Unauthenticated e) {
      // Whoever has no key for its own router still sees whether every stage has a node.
      return client.isServing();
    }
  }

  /**
   * Returns when the router knows this many nodes.
   *
   * @param as whoever asks it
   */
  static void awaitNodes(String router, int nodes, Progress progress, ConnectionOptions as) {
    long deadline = System.nanoTime() + TIMEOUT.toNanos();
    try (InferenceClient client = new InferenceClient(router, as)) {
      while (!areThere(client, nodes)) {
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
