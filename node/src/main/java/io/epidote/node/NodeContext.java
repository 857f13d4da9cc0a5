package io.epidote.node;

import io.epidote.node.engine.EngineLoop;
import io.epidote.node.lease.LeaseTable;
import io.epidote.node.transfer.TransferClient;

/**
 * What a stage is given by the node that it runs in.
 *
 * @param gate of the role that the stage belongs to; all else outlives a role
 */
public record NodeContext(
    String nodeId,
    EngineLoop loop,
    LeaseTable leases,
    TransferClient transfers,
    StageMeters meters,
    NodeConfig.Limits limits,
    NodeConfig.Sharing sharing,
    Gate gate) {
  /** For the stages of another role. */
  NodeContext forNewRole() {
    return new NodeContext(nodeId, loop, leases, transfers, meters, limits, sharing, new Gate());
  }
}
