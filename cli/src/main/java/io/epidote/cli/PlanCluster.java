package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.cost.ExpertReads;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.emulated.EmulatedModels;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.Models;
import io.epidote.node.transfer.TransferOptions.Pace;
import io.epidote.planner.sim.ClusterShape;
import io.epidote.planner.sim.ClusterShape.Device;
import io.epidote.planner.sim.ClusterShape.Host;
import io.epidote.planner.sim.ClusterShape.Room;
import io.epidote.planner.sim.ClusterShape.Routing;
import io.epidote.planner.sim.ClusterShape.Scheduling;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.prefill.PrefillConfig;
import io.epidote.proto.v1.Stage;
import io.epidote.router.FolderModel;
import java.nio.file.Path;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Clusters for the simulator, of the options that real ones are started with: what a device takes,
 * and what a node of some stages has room for.
 */
final class PlanCluster implements AutoCloseable {
  private final CostProfile profile;
  private final ModelConfig config;
  private final FolderModel model;
  private final DecoderShape shape;

  private PlanCluster(CostProfile profile, ModelConfig config, FolderModel model) {
    this.profile = profile;
    this.config = config;
    this.model = model;
    this.shape = Models.decoderShape(config.text());
  }

  /**
   * @param folder of the model that is served, or stands in for it
   */
  static PlanCluster open(CostProfile profile, Path folder) {
    try (Checkpoint checkpoint = Checkpoint.open(folder, Home.cache())) {
      return new PlanCluster(profile, checkpoint.config(), FolderModel.open(folder, Home.cache()));
    }
  }

  /** How requests become tiles and tokens. */
  FolderModel model() {
    return model;
  }

  CostProfile profile() {
    return profile;
  }

  /**
   * A cluster.
   *
   * @param options with which its nodes and router would be started; their time is the clock's
   * @param targets that the router gives requests
   * @param host in the devices' time
   */
  ClusterShape shape(ClusterOptions options, List<NodeSpec> nodes, Targets targets, Host host) {
    return new ClusterShape(
        nodes.stream().map(node -> new ClusterShape.Node(node.name(), node.stages())).toList(),
        device(),
        new Rooms(options.node, tileBytes())::of,
        new Scheduling(
            PrefillConfig.of(Set.of(), false, "")
                .withTokenBudget(options.node.prefillStep())
                .withOrder(options.node.prefillOrder(), options.node.batchPlan),
            options.node.decodeBatch(),
            options.node.encodeOrder(),
            options.node.decodeOrder()),
        new Routing(options.router.placement(), targets),
        host);
  }

  private int tileBytes() {
    return Math.max(1, config.tileTokens()) * shape.hiddenSize() * Float.BYTES;
  }

  Device device() {
    return new Device(
        profile.encode(),
        profile.prefill(),
        profile.decode(),
        profile.pictureMs(),
        EmulatedModels.MAX_TILES,
        tileBytes(),
        shape.kvBlockBytes(),
        profile
            .link()
            .map(link ->
                new Pace(
                    link.gigabytesPerSecond() * 1e9 / profile.byteScale(),
                    Math.round(link.latencyMs() * 1e6))),
        shape.contextTokens(),
        new ExpertReads(config.text())::distinct);
  }

  /** What nodes have room for, worked out once for all nodes of the same stages. */
  private final class Rooms {
    private final NodeOptions options;
    private final int tileBytes;
    private final Map<Set<Stage>, Room> known = new HashMap<>();

    Rooms(NodeOptions options, int tileBytes) {
      this.options = options;
      this.tileBytes = tileBytes;
    }

    synchronized Room of(Set<Stage> stages) {
      return known.computeIfAbsent(EnumSet.copyOf(stages), this::make);
    }

    private Room make(Set<Stage> stages) {
      long kv = options.kvCache(stages).value() / shape.kvBlockBytes();
      long swap = options.kvSwap.value() / shape.kvBlockBytes();
      int tiles =
          (int) Math.min(Integer.MAX_VALUE, options.mediaTokens(stages).value() / tileBytes);
      return new Room(
          (int) Math.min(Integer.MAX_VALUE, kv),
          (int) Math.min(Integer.MAX_VALUE, swap),
          stages.contains(Stage.STAGE_ENCODE) ? tiles : 0,
          stages.contains(Stage.STAGE_PREFILL) ? tiles : 0);
    }
  }

  @Override
  public void close() {
    model.close();
  }
}
