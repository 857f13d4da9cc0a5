package io.epidote.node;

import io.epidote.node.engine.EngineLoop;
import io.epidote.node.lease.LeaseTable;
import io.epidote.node.transfer.TransferClient;

/** What a stage is given by the node that it runs in. */
public record NodeContext(
    String nodeId,
    EngineLoop loop,
    LeaseTable leases,
    TransferClient transfers,
    StageMeters meters,
    NodeConfig.Limits limits,
    NodeConfig.Sharing sharing) {}
