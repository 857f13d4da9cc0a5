package io.epidote.cli;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.GenerateRequest;
import io.epidote.router.cluster.Sharding;
import java.util.Collections;
import java.util.List;
import java.util.function.Consumer;

/**
 * One way to use a number of emulated devices: a cluster of its own, whose times are told in those
 * of its devices.
 */
final class CompareSide implements AutoCloseable {
  private final String name;
  private final double timeScale;
  private final Cluster cluster;
  private final InferenceClient client;

  private CompareSide(String name, double timeScale, Cluster cluster) {
    this.name = name;
    this.timeScale = timeScale;
    this.cluster = cluster;
    this.client = new InferenceClient(cluster.grpcAddress());
  }

  /**
   * How devices are used.
   *
   * @param nodes as {@code up --nodes} takes them
   * @param topology that every request is held to
   * @param overlap whether a stage begins before the one before has ended
   * @param sharding into what media are divided
   */
  record Layout(String name, String nodes, String topology, boolean overlap, Sharding sharding) {
    /** Every device does everything. */
    static Layout aggregated(int devices) {
      return new Layout("aggregated", repeated("EPD", devices), "EPD", true, Sharding.TILES);
    }

    /** One device decodes, the others encode and prefill: the paper's baseline. */
    static Layout prefillDecode(int devices) {
      return new Layout("pd", repeated("EP", devices - 1) + ",D", "EP+D", true, Sharding.TILES);
    }

    /** One device each for prefill and decode, the others encode: the paper's allocation. */
    static Layout epd(int devices) {
      return new Layout("epd", repeated("E", devices - 2) + ",P,D", "E+P+D", true, Sharding.TILES);
    }

    Layout named(String other) {
      return new Layout(other, nodes, topology, overlap, sharding);
    }

    /** One stage strictly after the other. */
    Layout strict() {
      return new Layout(name, nodes, topology, false, sharding);
    }

    Layout sharded(Sharding into) {
      return new Layout(name, nodes, topology, overlap, into);
    }

    private static String repeated(String node, int times) {
      return String.join(",", Collections.nCopies(times, node));
    }
  }

  static CompareSide start(
      Layout layout, CostProfile profile, double timeScale, Progress progress) {
    return start(layout, profile, timeScale, _ -> {}, progress);
  }

  /**
   * The same with a router of other options.
   *
   * @param router sets them
   */
  static CompareSide start(
      Layout layout,
      CostProfile profile,
      double timeScale,
      Consumer<RouterOptions> router,
      Progress progress) {
    ClusterOptions options = new ClusterOptions().onAnyPort();
    options.node.emulation.emulate(profile);
    options.node.emulation.timeScale = timeScale;
    options.router.topology = layout.topology();
    options.router.noOverlap = !layout.overlap();
    options.router.sharding = layout.sharding().label();
    router.accept(options.router);
    List<NodeSpec> nodes = NodeSpec.parseList(layout.nodes());
    return new CompareSide(layout.name(), timeScale, LocalCluster.start(options, nodes, progress));
  }

  String name() {
    return name;
  }

  /** How many times faster than the clock its devices' time runs. */
  double timeScale() {
    return timeScale;
  }

  /** Milliseconds of an answer, in the devices' time. */
  record Times(double firstToken, double end) {}

  Times ask(GenerateRequest request) {
    InferenceClient.Answer answer = client.generate(request, text -> {});
    return new Times(answer.firstTextMillis() * timeScale, answer.millis() * timeScale);
  }

  /** What its router did about roles. */
  ExplainResponse roles() {
    try (InferenceClient admin = new InferenceClient(cluster.adminAddress())) {
      return admin.explainRoles();
    }
  }

  @Override
  public void close() {
    client.close();
    cluster.close();
  }
}
