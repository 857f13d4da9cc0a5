package io.epidote.planner.sim;

import io.epidote.engine.cost.StageCost;
import io.epidote.node.engine.QueueOrder;
import io.epidote.node.transfer.TransferOptions.Pace;
import io.epidote.prefill.PrefillConfig;
import io.epidote.proto.v1.Stage;
import io.epidote.router.cluster.PlacementRules;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.function.DoubleUnaryOperator;
import java.util.function.Function;

/**
 * A cluster to simulate.
 *
 * @param nodes in the order in which they are started
 * @param device what every node computes on
 * @param sizes what a node of these stages has room for
 * @param scheduling how nodes choose what is next
 * @param routing how the router places
 * @param host what the processes take that run all this
 */
public record ClusterShape(
    List<Node> nodes,
    Device device,
    Function<Set<Stage>, Room> sizes,
    Scheduling scheduling,
    Routing routing,
    Host host) {
  public ClusterShape {
    nodes = List.copyOf(nodes);
  }

  /**
   * A process.
   *
   * @param id by which the router orders nodes
   */
  public record Node(String id, Set<Stage> stages) {
    boolean has(Stage stage) {
      return stages.contains(stage);
    }
  }

  /**
   * An accelerator with a model.
   *
   * @param pictureMs from a file to its tiles
   * @param maxTiles of a step of encoding
   * @param tileBytes media tokens of a tile
   * @param kvBlockBytes of a KV block
   * @param pace of the link into the device; empty: as fast as the host moves bytes
   * @param contextTokens the longest sequence
   * @param experts that a step of so many tokens is expected to read
   */
  public record Device(
      StageCost encode,
      StageCost prefill,
      StageCost decode,
      OptionalDouble pictureMs,
      int maxTiles,
      int tileBytes,
      int kvBlockBytes,
      Optional<Pace> pace,
      int contextTokens,
      DoubleUnaryOperator experts) {}

  /**
   * Blocks of a node.
   *
   * @param encodeTiles of media tokens that it makes
   * @param prefillTiles of those that it pulls
   */
  public record Room(int kv, int swap, int encodeTiles, int prefillTiles) {}

  /**
   * @param prefill all but whether the node decodes, too
   * @param decodeBatch answers of a step
   */
  public record Scheduling(
      PrefillConfig prefill, int decodeBatch, QueueOrder encode, QueueOrder decode) {}

  /**
   * @param rules of placement
   * @param targets that requests have, for orders by slack
   */
  public record Routing(PlacementRules rules, Targets targets) {}

  /** What a request should take. Empty where nothing is asked for. */
  public record Targets(OptionalDouble ttftMs, OptionalDouble tpotMs) {
    public static final Targets NONE = new Targets(OptionalDouble.empty(), OptionalDouble.empty());
  }

  /**
   * What is not the devices' own, in their time.
   *
   * @param requestMs from when a client sends until the request is placed
   * @param hopMs a message from one process until the other acts on it
   * @param bytesPerSecond between processes
   * @param reportMs between two load reports of a node
   */
  public record Host(double requestMs, double hopMs, double bytesPerSecond, double reportMs) {
    /** Processes that take no time. */
    public static final Host NONE = new Host(0, 0, 1e12, 500);

    long hopNanos() {
      return Math.round(hopMs * 1e6);
    }
  }
}
