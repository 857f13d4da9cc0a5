package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.epidote.proto.v1.GetLoadResponse;
import io.epidote.proto.v1.NodeStatus;
import java.time.Duration;

/** What must hold of a cluster whenever nobody asks it anything. */
final class ClusterAssertions {
  private ClusterAssertions() {}

  /** Waits until nothing is in use on any node. Calls are closed shortly after an answer ends. */
  static void assertNothingInUse(Cluster cluster, int nodes) {
    try (InferenceClient client = new InferenceClient(cluster.grpcAddress())) {
      await()
          .atMost(Duration.ofSeconds(5))
          .untilAsserted(() -> {
            GetLoadResponse load = client.load();
            assertThat(load.getNodesCount()).isEqualTo(nodes);
            assertThat(load.getRequestsInFlight()).isZero();
            for (NodeStatus node : load.getNodesList()) {
              assertThat(
                      node.getKvBlocksUsed()
                          + node.getMediaBlocksUsed()
                          + node.getHandles()
                          + node.getRunning()
                          + node.getQueued()
                          + node.getAwaiting())
                  .as("blocks, handles and requests of %s", node.getNodeId())
                  .isZero();
            }
          });
    }
  }
}
