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
import io.micrometer.core.instrument.Gauge;
import java.util.Collection;
import java.util.Collections;
import java.util.EnumMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;

/** The node's numbers over all its stages. Belongs to the engine thread. */
final class StatusReport {
  private final NodeContext node;
  private final List<Stage> stages;
  private final LeaseTable leases;
  private final Optional<Adapters> adapters;
  private final Optional<ExpertMeters> experts;

  /** As they were last told; for metrics, which are read beside the engine thread. */
  private volatile Map<io.epidote.proto.v1.Stage, StageLoad> loads = Map.of();

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
    Map<io.epidote.proto.v1.Stage, StageLoad> byKind =
        new EnumMap<>(io.epidote.proto.v1.Stage.class);
    for (Stage stage : stages) {
      StageLoad load = stage.load();
      byKind.put(stage.kind(), load);
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
    loads = byKind;
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

  /** Meters of what each stage has to do, which are there for as long as the node has it. */
  void register(RoleMeters meters) {
    for (Stage stage : stages) {
      gauge(meters, stage, "running", "Requests that the stage computes", StageLoad::running);
      gauge(
          meters,
          stage,
          "queued",
          "Requests that wait for something of this node at the stage",
          StageLoad::queued);
      gauge(
          meters,
          stage,
          "awaiting",
          "Requests whose input for the stage others are making",
          StageLoad::awaiting);
    }
  }

  private void gauge(
      RoleMeters meters,
      Stage stage,
      String name,
      String description,
      ToIntFunction<StageLoad> value) {
    meters.add(
        Gauge.builder(
                "epidote.stage." + name,
                this,
                each -> {
                  StageLoad load = each.loads.get(stage.kind());
                  return load == null ? 0 : value.applyAsInt(load);
                })
            .tag("stage", StageMeters.word(stage.kind()))
            .description(description)
            .register(meters.registry()));
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
