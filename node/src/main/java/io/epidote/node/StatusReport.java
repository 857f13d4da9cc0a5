package io.epidote.node;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.model.Adapters;
import io.epidote.engine.model.ModelMemory;
import io.epidote.node.kv.KvMemory;
import io.epidote.node.lease.LeaseTable;
import io.epidote.node.memory.MemoryAccount;
import io.epidote.proto.stage.v1.NodeLoad;
import io.epidote.proto.v1.MemoryUse;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.WeightGroup;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** The node's numbers over all its stages. Belongs to the engine thread. */
final class StatusReport {
  private final NodeContext node;
  private final List<Stage> stages;
  private final LeaseTable leases;
  private final Optional<Adapters> adapters;
  private final Optional<ExpertMeters> experts;

  StatusReport(
      NodeContext node,
      List<Stage> stages,
      Optional<Adapters> adapters,
      Optional<ExpertMeters> experts) {
    this.adapters = adapters;
    this.experts = experts;
    this.node = node;
    this.stages = List.copyOf(stages);
    this.leases = node.leases();
  }

  /**
   * @param memory as it was last measured, or empty
   */
  NodeStatus take(List<MemoryUse> memory) {
    NodeStatus.Builder status =
        NodeStatus.newBuilder().setNodeId(node.nodeId()).setAddress(leases.address());
    Map<String, StageLoad.Weights> weights = new TreeMap<>();
    int running = 0;
    int queued = 0;
    int awaiting = 0;
    for (Stage stage : stages) {
      StageLoad load = stage.load();
      status.addStages(stage.kind());
      running += load.running();
      queued += load.queued();
      awaiting += load.awaiting();
      weights.put(load.weights().name(), load.weights());
    }
    for (StageLoad.Weights group : weights.values()) {
      status.addWeights(
          WeightGroup.newBuilder()
              .setName(group.name())
              .setBytes(group.bytes())
              .setPrecision(group.precision()));
    }
    Set<KvMemory> kv = distinct(StageLoad::kv);
    Set<BlockPool> media = distinct(StageLoad::mediaPools);
    stages.forEach(stage -> stage.describe(status));
    experts.ifPresent(meters -> status.setExperts(meters.status(System.nanoTime())));
    adapters.ifPresent(all ->
        status
            .addAllAdapters(AdapterEndpoint.describe(all))
            .setAdapterTiers(AdapterMeters.describe(all.tiers())));
    return status
        .setRunning(running)
        .setQueued(queued)
        .setAwaiting(awaiting)
        .setHandles(leases.outstanding())
        .setResidentBytes(
            memory.isEmpty()
                ? ResidentMemory.bytes()
                : memory.stream().mapToLong(MemoryUse::getBytes).sum())
        .addAllMemory(memory)
        .setKvBlocksUsed(kv.stream().mapToInt(each -> each.pool().used()).sum())
        .setKvBlocksCached(kv.stream().mapToInt(each -> each.pool().cached()).sum())
        .setKvBlocksTotal(kv.stream().mapToInt(each -> each.pool().total()).sum())
        .setKvBlockBytes(kv.stream().mapToInt(each -> each.pool().blockBytes()).max().orElse(0))
        .setSwapBlocksUsed(kv.stream().mapToInt(each -> each.swap().used()).sum())
        .setSwapBlocksTotal(kv.stream().mapToInt(each -> each.swap().total()).sum())
        .setMediaBlocksUsed(media.stream().mapToInt(BlockPool::used).sum())
        .setMediaBlocksCached(media.stream().mapToInt(BlockPool::cached).sum())
        .setMediaBlocksTotal(media.stream().mapToInt(BlockPool::total).sum())
        .setMediaBlockBytes(media.stream().mapToInt(BlockPool::blockBytes).max().orElse(0))
        .build();
  }

  /** The same as a router is told it. */
  NodeLoad load(List<MemoryUse> memory) {
    NodeLoad.Builder load = NodeLoad.newBuilder().setStatus(take(memory));
    stages.forEach(stage -> stage.mediaCache().ifPresent(load::setMediaCache));
    return load.build();
  }

  /** What the node's stages have of memory. */
  MemoryAccount.Holdings holdings() {
    Set<KvMemory> kv = distinct(StageLoad::kv);
    Map<String, ModelMemory> models = new TreeMap<>();
    for (Stage stage : stages) {
      StageLoad.Weights weights = stage.load().weights();
      models.computeIfAbsent(weights.name(), _ -> weights.memory().get());
    }
    return new MemoryAccount.Holdings(
        kv.stream().map(KvMemory::pool).toList(),
        kv.stream().mapToLong(each -> each.swap().bytes()).sum(),
        List.copyOf(distinct(StageLoad::mediaPools)),
        List.copyOf(models.values()));
  }

  void end(Stage.Scope scope, EpidoteException reason) {
    stages.forEach(stage -> stage.end(scope, reason));
  }

  /** Whether no request and no lease holds anything. */
  boolean isIdle() {
    return leases.outstanding() == 0 && stages.stream().allMatch(stage -> stage.load().isIdle());
  }

  /**
   * What is wrong with the accounts, or null: a pool in disorder, or blocks in use although nobody
   * can be using them.
   *
   * @param drained whether no command waits; asked last, because a lease that is gone from the
   *     table may have its blocks still to be freed by a command
   */
  @Nullable String discrepancy(BooleanSupplier drained) {
    boolean idle = isIdle() && drained.getAsBoolean();
    Set<BlockPool> pools = distinct(StageLoad::mediaPools);
    for (KvMemory kv : distinct(StageLoad::kv)) {
      pools.add(kv.pool());
      if (idle && kv.swap().used() > 0) {
        return "%d blocks are in swap space, but no request owns them".formatted(kv.swap().used());
      }
    }
    int pins = adapters.map(all -> all.tiers().counts().pins()).orElse(0);
    if (idle && pins > 0) {
      return "adapters are pinned %d times, but no request runs".formatted(pins);
    }
    for (BlockPool pool : pools) {
      try {
        pool.checkIntegrity();
      } catch (IllegalStateException e) {
        return e.getMessage();
      }
      if (idle && pool.used() > 0) {
        return "%d of %d %s blocks are in use, but no request or lease holds them"
            .formatted(pool.used(), pool.total(), pool.name());
      }
    }
    return null;
  }

  private <T> Set<T> distinct(Function<StageLoad, List<T>> kind) {
    Set<T> distinct = Collections.newSetFromMap(new IdentityHashMap<>());
    stages.stream().map(Stage::load).map(kind).flatMap(Collection::stream).forEach(distinct::add);
    return distinct;
  }
}
