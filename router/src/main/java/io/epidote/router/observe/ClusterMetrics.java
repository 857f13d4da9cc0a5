package io.epidote.router.observe;

import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StagePressure;
import io.epidote.router.cluster.Cluster;
import io.epidote.router.cluster.Member;
import io.epidote.router.cluster.StageNames;
import io.epidote.router.roles.RoleController;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import java.util.List;
import java.util.function.Predicate;
import java.util.function.ToDoubleFunction;
import java.util.function.ToLongFunction;

/**
 * The cluster as this router sees it: nodes of each stage, what they have to do and how far that is
 * from what they can, and the KV cache of all of them together.
 */
public final class ClusterMetrics {
  private final Cluster cluster;
  private final RoleController roles;
  private final MeterRegistry meters;

  private ClusterMetrics(Cluster cluster, RoleController roles, MeterRegistry meters) {
    this.cluster = cluster;
    this.roles = roles;
    this.meters = meters;
  }

  /** Registers the meters, which live as long as the router. */
  public static void register(
      Cluster cluster, RoleController roles, String model, MeterRegistry meters) {
    ClusterMetrics metrics = new ClusterMetrics(cluster, roles, meters);
    StageNames.ALL.forEach(metrics::stage);
    metrics.node("draining", "Nodes that take no new requests", Member::isDraining);
    metrics.node(
        "faulty",
        "Nodes that say that they are unhealthy",
        member -> !member.status().getFault().isEmpty());
    Gauge.builder("vllm:kv_cache_usage_perc", metrics, ClusterMetrics::kvUsage)
        .tag("model_name", model)
        .description("KV blocks in use over all there are, of all nodes that decode: 1 is full")
        .register(meters);
    Gauge.builder(
            "epidote_role_attainment", roles, each -> each.explain().getLast().getAttainment())
        .description(
            "Share of requests that is predicted to meet its targets with the roles as they are")
        .register(meters);
  }

  private void stage(Stage stage) {
    gauge(
        "epidote_nodes",
        "Nodes that have the stage",
        stage,
        each -> each.cluster.members().stream().filter(node -> has(node, stage)).count());
    gauge(
        "epidote_nodes_available",
        "Nodes that have the stage and take requests",
        stage,
        each ->
            each.cluster.members().stream()
                .filter(node -> has(node, stage) && !node.isDraining())
                .count());
    gauge(
        "epidote_stage_utilisation",
        "What is asked of the stage over what its nodes can do within the targets: above 1 it needs more nodes",
        stage,
        each -> each.utilisation(stage));
    gauge(
        "epidote_stage_backlog_seconds",
        "Work that waits for the stage, in seconds of its nodes",
        stage,
        each -> each.pressure(stage).getBacklogS());
  }

  private void gauge(
      String name, String description, Stage stage, ToDoubleFunction<ClusterMetrics> value) {
    Gauge.builder(name, this, value)
        .tag("stage", StageNames.of(stage))
        .description(description)
        .strongReference(true)
        .register(meters);
  }

  private void node(String what, String description, Predicate<Member> test) {
    Gauge.builder(
            "epidote_nodes_" + what,
            this,
            each -> each.cluster.members().stream().filter(test).count())
        .description(description)
        .strongReference(true)
        .register(meters);
  }

  private static boolean has(Member node, Stage stage) {
    return node.stages().contains(stage);
  }

  private StagePressure pressure(Stage stage) {
    return roles.explain().getLast().getPressuresList().stream()
        .filter(each -> each.getStage() == stage)
        .findFirst()
        .orElse(StagePressure.getDefaultInstance());
  }

  /** Without a node any demand is too much. */
  private double utilisation(Stage stage) {
    double value = pressure(stage).getUtilisation();
    return value < 0 ? Double.POSITIVE_INFINITY : value;
  }

  private double kvUsage() {
    List<NodeStatus> decoding =
        cluster.members().stream()
            .filter(node -> has(node, Stage.STAGE_DECODE))
            .map(Member::status)
            .toList();
    long total = sum(decoding, NodeStatus::getKvBlocksTotal);
    return total == 0 ? 0 : (double) sum(decoding, NodeStatus::getKvBlocksUsed) / total;
  }

  private static long sum(List<NodeStatus> nodes, ToLongFunction<NodeStatus> value) {
    return nodes.stream().mapToLong(value).sum();
  }
}
