package io.epidote.cli;

import io.epidote.node.engine.QueueOrder.Policy;
import io.epidote.planner.Plan;
import io.epidote.planner.sim.ClusterShape.Targets;
import io.epidote.router.cluster.Sharding;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** A plan as what is started with it. */
final class PlanText {
  private PlanText() {}

  private static List<String> nodeArguments(Plan plan) {
    return List.of(
        "--prefill-step",
        Integer.toString(plan.prefillStep()),
        "--decode-batch",
        Integer.toString(plan.decodeBatch()),
        "--order",
        plan.order().word());
  }

  private static List<String> routerArguments(Plan plan, Targets targets) {
    List<String> arguments = new ArrayList<>();
    if (!plan.divides()) {
      arguments.addAll(List.of("--encode-sharding", Sharding.NONE.label()));
    }
    if (plan.order() == Policy.SLACK) {
      targets.ttftMs().ifPresent(ms -> arguments.addAll(List.of("--slo-ttft-ms", number(ms))));
      targets.tpotMs().ifPresent(ms -> arguments.addAll(List.of("--slo-tpot-ms", number(ms))));
    }
    return arguments;
  }

  private static String number(double ms) {
    return String.format(Locale.ROOT, "%.6g", ms);
  }

  /**
   * A cluster on this machine, emulated.
   *
   * @param profile by which the device is named
   */
  static String command(Plan plan, Targets targets, String profile) {
    List<String> words =
        new ArrayList<>(
            List.of(
                "./epidote",
                "up",
                "--engine",
                "emulated",
                "--profile",
                profile,
                "--nodes",
                String.join(",", plan.layout().nodes())));
    words.addAll(nodeArguments(plan));
    words.addAll(routerArguments(plan, targets));
    return String.join(" ", words);
  }

  /**
   * Replicas and arguments of each kind of node, and arguments of the router, as patches for
   * Kubernetes: {@code deploy/overlays/planned/plan.yaml}.
   */
  static String values(Plan plan, Targets targets) {
    StringBuilder yaml = new StringBuilder();
    yaml.append(patch("router", "router", 0, routerArguments(plan, targets)));
    Map<String, Integer> kinds = new LinkedHashMap<>();
    PlanTrials.nodes(plan).forEach(node -> kinds.merge(node.stageWords(), 1, Integer::sum));
    kinds.forEach((stages, replicas) -> {
      List<String> arguments = new ArrayList<>(List.of("--stages", stages));
      arguments.addAll(nodeArguments(plan));
      yaml.append("---\n").append(patch(stages.replace(',', '-'), "node", replicas, arguments));
    });
    return yaml.toString();
  }

  /**
   * @param replicas 0 to leave them as they are
   */
  private static String patch(String kind, String container, int replicas, List<String> arguments) {
    return """
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: epidote-%s
    spec:%s
      template:
        spec:
          containers:
            - name: %s
              args: %s
    """
        .formatted(
            kind, replicas == 0 ? "" : "\n  replicas: " + replicas, container, list(arguments));
  }

  /** A YAML list whose members are all strings. */
  private static String list(List<String> words) {
    return "[" + String.join(", ", words.stream().map(word -> '"' + word + '"').toList()) + "]";
  }
}
