package io.epidote.cli;

import io.epidote.proto.v1.AdapterStatus;
import io.epidote.proto.v1.AdapterTierStatus;
import io.epidote.proto.v1.ExpertLayer;
import io.epidote.proto.v1.GetLoadResponse;
import io.epidote.proto.v1.HotExpert;
import io.epidote.proto.v1.MemoryUse;
import io.epidote.proto.v1.NodeStatus;
import io.epidote.proto.v1.WeightGroup;
import java.io.PrintStream;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.ToIntFunction;
import java.util.function.ToLongFunction;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "status",
    description = {
      "Shows the nodes of a cluster: stages, weights and their precision, blocks in use, leases, queues,",
      "and every byte of resident memory by kind. Weights that processes share have two numbers: all of",
      "them, and the part that falls on this process."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {"  epidote status", "  epidote status --router localhost:8001 --json"})
final class StatusCommand implements Callable<Integer> {
  @Option(
      names = "--router",
      paramLabel = "HOST:PORT",
      description = "The router's gRPC address. Default: ${DEFAULT-VALUE}.")
  private String router = "localhost:8001";

  @Mixin private ConnectionOptions connection = new ConnectionOptions();

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    try (InferenceClient client = new InferenceClient(router, connection)) {
      GetLoadResponse load = client.load();
      if (json) {
        report(load).print(System.out);
      } else {
        print(load, System.out);
      }
    }
    return 0;
  }

  private static Report report(GetLoadResponse load) {
    Report report =
        new Report("status")
            .figure("nodes", load.getNodesCount())
            .figure("requests_in_flight", load.getRequestsInFlight())
            .figure("kv_blocks_used", sum(load, NodeStatus::getKvBlocksUsed))
            .figure("media_blocks_used", sum(load, NodeStatus::getMediaBlocksUsed))
            .figure("handles", sum(load, NodeStatus::getHandles));
    for (NodeStatus node : load.getNodesList()) {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("node", node.getNodeId());
      row.put("address", node.getAddress());
      row.put("stages", node.getStagesList().stream().map(NodeSpec::word).toList());
      row.put("role_generation", node.getRoleGeneration());
      row.put("draining", node.getDraining());
      row.put("fault", node.getFault());
      row.put("integrity_checks", node.getIntegrityChecks());
      row.put("resident_bytes", node.getResidentBytes());
      row.put(
          "weights",
          node.getWeightsList().stream()
              .collect(Collectors.toMap(WeightGroup::getName, WeightGroup::getBytes)));
      row.put(
          "precision",
          node.getWeightsList().stream()
              .collect(Collectors.toMap(WeightGroup::getName, WeightGroup::getPrecision)));
      if (node.hasDecode()) {
        row.put("kv_wire", node.getDecode().getKvWire());
      }
      row.put("memory", byKind(node, MemoryUse::getBytes));
      row.put("memory_proportional", byKind(node, MemoryUse::getProportionalBytes));
      if (node.hasExperts()) {
        row.put("expert_slots_lent", node.getExperts().getSlotsLent());
        row.put(
            "experts", node.getExperts().getLayersList().stream().map(StatusCommand::row).toList());
      }
      row.put("kv_blocks_used", node.getKvBlocksUsed());
      row.put("kv_blocks_total", node.getKvBlocksTotal());
      row.put("media_blocks_used", node.getMediaBlocksUsed());
      row.put("media_blocks_total", node.getMediaBlocksTotal());
      if (node.getAdaptersCount() > 0) {
        row.put("adapters", adapters(node));
      }
      row.put("handles", node.getHandles());
      row.put("running", node.getRunning());
      row.put("queued", node.getQueued());
      row.put("awaiting", node.getAwaiting());
      report.row(row);
    }
    return report;
  }

  private static Map<String, Object> adapters(NodeStatus node) {
    AdapterTierStatus tiers = node.getAdapterTiers();
    Map<String, Object> adapters = new LinkedHashMap<>();
    adapters.put(
        "tiers",
        node.getAdaptersList().stream()
            .collect(Collectors.toMap(AdapterStatus::getName, AdapterStatus::getTier)));
    adapters.put("hot_slots", tiers.getHotSlots());
    adapters.put("hot_bytes", tiers.getHotBytes());
    adapters.put("warm_bytes", tiers.getWarmBytes());
    adapters.put("cold_bytes", tiers.getColdBytes());
    adapters.put("switches", tiers.getSwitches());
    adapters.put("evictions", tiers.getEvictions());
    adapters.put("hits", tiers.getHits());
    adapters.put("waits", tiers.getWaits());
    adapters.put("reads", tiers.getReads());
    adapters.put("read_bytes", tiers.getReadBytes());
    adapters.put("longest_wait_ms", tiers.getLongestWaitMs());
    return adapters;
  }

  private static Map<String, Object> row(ExpertLayer layer) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("layer", layer.getLayer());
    row.put("imbalance", Report.rounded(layer.getImbalance()));
    row.put(
        "hottest",
        layer.getHottestList().stream()
            .map(hot ->
                Map.of(
                    "expert",
                    hot.getExpert(),
                    "adapter",
                    hot.getAdapter(),
                    "share",
                    Report.rounded(hot.getShare())))
            .toList());
    return row;
  }

  private static Map<String, Long> byKind(NodeStatus node, ToLongFunction<MemoryUse> figure) {
    Map<String, Long> kinds = new LinkedHashMap<>();
    node.getMemoryList().forEach(use -> kinds.put(use.getKind(), figure.applyAsLong(use)));
    return kinds;
  }

  static int sum(GetLoadResponse load, ToIntFunction<NodeStatus> figure) {
    return load.getNodesList().stream().mapToInt(figure).sum();
  }

  /** The nodes as a table. */
  static void print(GetLoadResponse load, PrintStream out) {
    out.printf(
        Locale.ROOT,
        "%-10s %-22s %9s  %-44s %14s %12s %7s%n",
        "node",
        "stages",
        "resident",
        "weights loaded",
        "KV blocks",
        "media blocks",
        "handles");
    for (NodeStatus node : load.getNodesList()) {
      out.printf(
          Locale.ROOT,
          "%-10s %-22s %9s  %-44s %14s %12s %7d%n",
          node.getNodeId(),
          node.getStagesList().stream().map(NodeSpec::word).collect(Collectors.joining(",")),
          Bytes.words(node.getResidentBytes()),
          node.getWeightsList().stream()
                  .map(group ->
                      "%s %s %s"
                          .formatted(
                              group.getName(), group.getPrecision(), Bytes.words(group.getBytes())))
                  .collect(Collectors.joining(", "))
              + (node.getDecode().getKvWire().equals("int8") ? ", KV int8 on the wire" : ""),
          of(node.getKvBlocksUsed(), node.getKvBlocksTotal()),
          of(node.getMediaBlocksUsed(), node.getMediaBlocksTotal()),
          node.getHandles());
    }
    load.getNodesList().forEach(node -> printState(node, out));
    printAdapters(load.getNodesList(), out);
    printExperts(load.getNodesList(), out);
    printMemory(load.getNodesList(), out);
  }

  /** What is out of the ordinary with a node. */
  private static void printState(NodeStatus node, PrintStream out) {
    if (node.getDraining()) {
      out.printf("%-10s takes no new requests%n", node.getNodeId());
    }
    if (!node.getFault().isEmpty()) {
      out.printf("%-10s is unhealthy: %s%n", node.getNodeId(), node.getFault());
    }
    if (node.getRoleGeneration() > 0) {
      out.printf(
          "%-10s has changed its stages %d times%n", node.getNodeId(), node.getRoleGeneration());
    }
  }

  /** Where adapters are, of nodes that have some. */
  private static void printAdapters(List<NodeStatus> nodes, PrintStream out) {
    if (nodes.stream().noneMatch(node -> node.getAdaptersCount() > 0)) {
      return;
    }
    out.printf(
        "%n%-10s %18s %18s %18s %9s %9s%n", "adapters", "hot", "warm", "cold", "switches", "waits");
    for (NodeStatus node : nodes) {
      AdapterTierStatus tiers = node.getAdapterTiers();
      if (node.getAdaptersCount() > 0) {
        out.printf(
            Locale.ROOT,
            "%-10s %18s %18s %18s %9d %9d%n",
            node.getNodeId(),
            inTier(node, "hot", tiers.getHotBytes()),
            inTier(node, "warm", tiers.getWarmBytes()),
            inTier(node, "cold", tiers.getColdBytes()),
            tiers.getSwitches(),
            tiers.getWaits());
      }
    }
  }

  private static String inTier(NodeStatus node, String tier, long bytes) {
    long count =
        node.getAdaptersList().stream().filter(each -> each.getTier().equals(tier)).count();
    return count == 0 ? "-" : count + ", " + Bytes.words(bytes);
  }

  /** Of each node, the layer whose experts are used least evenly. */
  private static void printExperts(List<NodeStatus> nodes, PrintStream out) {
    for (NodeStatus node : nodes) {
      node.getExperts().getLayersList().stream()
          .max(Comparator.comparingDouble(ExpertLayer::getImbalance))
          .ifPresent(layer ->
              out.printf(
                  Locale.ROOT,
                  "%n%-10s hottest experts: layer %d has %.1f times the mean on one; %s",
                  node.getNodeId(),
                  layer.getLayer(),
                  layer.getImbalance(),
                  layer.getHottestList().stream()
                      .map(StatusCommand::words)
                      .collect(Collectors.joining(", "))));
    }
    if (nodes.stream().anyMatch(node -> node.getExperts().getLayersCount() > 0)) {
      out.println();
    }
  }

  private static String words(HotExpert hot) {
    return "%d of %s has %.0f %%"
        .formatted(
            hot.getExpert(),
            hot.getAdapter().isEmpty() ? "the base" : hot.getAdapter(),
            100 * hot.getShare());
  }

  /** A line for each kind, a column for each node. */
  private static void printMemory(List<NodeStatus> nodes, PrintStream out) {
    Set<String> kinds = new LinkedHashSet<>();
    nodes.forEach(node -> node.getMemoryList().forEach(use -> kinds.add(use.getKind())));
    if (kinds.isEmpty()) {
      return;
    }
    out.printf("%n%-16s", "memory");
    nodes.forEach(node -> out.printf(" %16s", node.getNodeId()));
    out.println();
    for (String kind : kinds) {
      out.printf("%-16s", kind);
      for (NodeStatus node : nodes) {
        long bytes = byKind(node, MemoryUse::getBytes).getOrDefault(kind, 0L);
        long share = byKind(node, MemoryUse::getProportionalBytes).getOrDefault(kind, 0L);
        // What is shared shows how much of it falls on this process.
        out.printf(
            " %16s",
            kind.equals("weights_mapped") && !Bytes.words(share).equals(Bytes.words(bytes))
                ? Bytes.words(bytes) + " / " + Bytes.words(share)
                : Bytes.words(bytes));
      }
      out.println();
    }
  }

  private static String of(int used, int total) {
    return total == 0 ? "-" : used + " of " + total;
  }
}
