package io.epidote.node;

import io.epidote.node.engine.EngineLoop;
import io.epidote.node.lease.LeaseEnd;
import io.epidote.node.lease.LeaseTable;
import io.epidote.proto.v1.NodeStatus;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

/** What a node tells of itself, whatever its role; what a role tells is in {@link RoleMeters}. */
final class NodeMeters {
  private final MeterRegistry meters;
  private final NodeReports reports;
  private final NodeState state;

  /**
   * @param reports of the node's load, which most are read from
   */
  NodeMeters(MeterRegistry meters, NodeReports reports, NodeState state) {
    this.meters = meters;
    this.reports = reports;
    this.state = state;
  }

  /** Registers them all. */
  void register(EngineLoop loop, LeaseTable leases, Registrations routers) {
    gauge("epidote.kv.blocks.used", "KV blocks in use", NodeStatus::getKvBlocksUsed);
    gauge(
        "epidote.kv.blocks.cached",
        "KV blocks that nobody uses and a later prompt may",
        NodeStatus::getKvBlocksCached);
    gauge("epidote.kv.blocks.capacity", "KV blocks of the pool", NodeStatus::getKvBlocksTotal);
    gauge("epidote.swap.blocks.used", "KV blocks in swap space", NodeStatus::getSwapBlocksUsed);
    gauge(
        "epidote.swap.blocks.capacity",
        "KV blocks that swap space holds",
        NodeStatus::getSwapBlocksTotal);
    gauge(
        "epidote.media.blocks.used",
        "Blocks of media tokens in use",
        NodeStatus::getMediaBlocksUsed);
    gauge(
        "epidote.media.blocks.capacity",
        "Blocks of media tokens of the pools",
        NodeStatus::getMediaBlocksTotal);
    gauge(
        "epidote.media.blocks.cached",
        "Blocks of media tokens that nobody uses and a later request may",
        NodeStatus::getMediaBlocksCached);
    gauge(
        "epidote.media.cache.bytes",
        "Media tokens that are cached",
        status -> (double) status.getMediaBlocksCached() * status.getMediaBlockBytes());
    gauge("epidote.handles", "Leases that are out", NodeStatus::getHandles);
    gauge(
        "epidote.requests.running",
        "Requests that have what they need to compute",
        NodeStatus::getRunning);
    gauge(
        "epidote.requests.queued",
        "Requests that wait for something of this node",
        NodeStatus::getQueued);
    gauge(
        "epidote.requests.awaiting",
        "Requests whose input other stages are making",
        NodeStatus::getAwaiting);
    gauge("epidote.resident.bytes", "Resident memory of the process", NodeStatus::getResidentBytes);
    FunctionCounter.builder("epidote.leases.granted", leases, LeaseTable::granted)
        .description("Leases on blocks that other nodes may pull")
        .register(meters);
    for (LeaseEnd end : LeaseEnd.values()) {
      FunctionCounter.builder("epidote.leases.ended", leases, each -> each.ended(end))
          .tag("end", end.name().toLowerCase(Locale.ROOT))
          .description("Leases that are over, by why")
          .register(meters);
    }
    Gauge.builder("epidote.node.healthy", state, each -> each.fault() == null ? 1 : 0)
        .description("0 while something makes the node unhealthy; its status says what")
        .register(meters);
    Gauge.builder("epidote.node.registered", routers, each -> each.areRegistered() ? 1 : 0)
        .description("1 while every router has welcomed the node")
        .register(meters);
    Gauge.builder("epidote.engine.defects", loop, EngineLoop::defects)
        .description("Exceptions that the engine thread caught and that are defects")
        .register(meters);
    Gauge.builder("epidote.integrity.faults", state, each -> each.isDiscrepant() ? 1 : 0)
        .description("1 while blocks are in use that no request or lease accounts for")
        .register(meters);
    FunctionCounter.builder("epidote.integrity.checks", state, NodeState::integrityChecks)
        .description("How often an idle node found every block accounted for")
        .register(meters);
    Gauge.builder("epidote.draining", state, each -> each.isDraining() ? 1 : 0)
        .description("1 while the node takes no new requests")
        .register(meters);
    Gauge.builder("epidote.role.generation", state, NodeState::generation)
        .description("Changes of the node's stages")
        .register(meters);
  }

  private void gauge(String name, String description, ToDoubleFunction<NodeStatus> value) {
    Gauge.builder(name, reports, each -> value.applyAsDouble(each.latest()))
        .description(description)
        .register(meters);
  }
}
