package io.epidote.cli;

import static java.util.Objects.requireNonNull;

import io.epidote.proto.v1.ExplainResponse;
import io.epidote.proto.v1.RoleDecision;
import io.epidote.proto.v1.RoleOption;
import io.epidote.proto.v1.RolePhase;
import io.epidote.proto.v1.RoleSwitch;
import io.epidote.proto.v1.Stage;
import io.epidote.proto.v1.StagePressure;
import io.epidote.proto.v1.SwitchRequest;
import io.epidote.proto.v1.SwitchResponse;
import io.epidote.router.cluster.StageNames;
import java.io.PrintStream;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
    name = "roles",
    description = "Changes the stages of running nodes, and tells why the router does.",
    mixinStandardHelpOptions = true,
    synopsisSubcommandLabel = "COMMAND",
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote roles switch encode-1 decode",
      "  epidote roles explain",
      "  epidote up --nodes E,E,P,D,D --roles auto --slo-ttft-ms 500 --slo-tpot-ms 50"
    },
    subcommands = {RolesCommand.Switch.class, RolesCommand.Explain.class})
final class RolesCommand implements Runnable {
  @Spec private @Nullable CommandSpec spec;

  @Override
  public void run() {
    throw new ParameterException(requireNonNull(spec).commandLine(), "Name a command");
  }

  @Command(
      name = "switch",
      description =
          "Gives a node other stages while its process and all requests go on; returns when it serves with them.",
      mixinStandardHelpOptions = true)
  static final class Switch implements Callable<Integer> {
    @Parameters(index = "0", paramLabel = "NODE", description = "Its name.")
    private String node = "";

    @Parameters(
        index = "1",
        paramLabel = "STAGES",
        description = "Some of encode,prefill,decode: what it has afterwards.")
    private String stages = "";

    @Option(
        names = "--drain",
        paramLabel = "TIME",
        converter = TimeConverter.class,
        description =
            "How long its running requests may take to end before they go on elsewhere. Default: the router's --role-drain.")
    private @Nullable Duration drain;

    @Mixin private AdapterCommand.AdminAddress admin = new AdapterCommand.AdminAddress();

    @Override
    public Integer call() {
      SwitchRequest.Builder request =
          SwitchRequest.newBuilder().setNodeId(node).addAllStages(NodeSpec.parseStages(stages));
      if (drain != null) {
        request.setDrainMs(Math.toIntExact(drain.toMillis()));
      }
      try (InferenceClient client = admin.open()) {
        SwitchResponse done = client.switchRole(request.build());
        System.out.printf(
            Locale.ROOT,
            "%s serves %s after %.0f ms: %s%n",
            node,
            stages,
            done.getTotalMs(),
            phases(done.getPhasesList()));
      }
      return 0;
    }
  }

  @Command(
      name = "explain",
      description =
          "Shows what the router last decided about roles and why, and what was switched.",
      mixinStandardHelpOptions = true)
  static final class Explain implements Callable<Integer> {
    @Option(names = "--json", description = "Print one JSON object.")
    private boolean json;

    @Mixin private AdapterCommand.AdminAddress admin = new AdapterCommand.AdminAddress();

    @Override
    public Integer call() {
      try (InferenceClient client = admin.open()) {
        ExplainResponse explained = client.explainRoles();
        if (json) {
          report(explained).print(System.out);
        } else {
          print(explained, System.out);
        }
      }
      return 0;
    }
  }

  private static Report report(ExplainResponse explained) {
    Report report =
        new Report("roles explain")
            .figure("attainment", explained.getLast().getAttainment())
            .figure("switches", explained.getSwitchesCount());
    for (RoleSwitch each : explained.getSwitchesList()) {
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("node", each.getNodeId());
      row.put("from", names(each.getFromList()));
      row.put("to", names(each.getToList()));
      row.put("age_ms", each.getAgeMs());
      row.put("manual", each.getManual());
      row.put("error", each.getError());
      for (RolePhase phase : each.getPhasesList()) {
        row.put(phase.getName() + "_ms", phase.getMs());
      }
      report.row(row);
    }
    return report;
  }

  private static void print(ExplainResponse explained, PrintStream out) {
    RoleDecision last = explained.getLast();
    out.printf(
        Locale.ROOT,
        "Roles are switched %s. %.1f s ago: %s%nExpected to meet their targets: %.0f %%%n",
        explained.getAutomatic() ? "by the router" : "by hand",
        last.getAgeMs() / 1000,
        last.getVerdict(),
        last.getAttainment() * 100);
    for (StagePressure stage : last.getPressuresList()) {
      out.printf(
          Locale.ROOT,
          "  %-8s %3d nodes  %4.0f %% busy  %6.1f s of work waits%n",
          StageNames.of(stage.getStage()),
          stage.getNodes(),
          stage.getUtilisation() * 100,
          stage.getBacklogS());
    }
    for (RoleOption option : last.getOptionsList()) {
      out.printf(
          Locale.ROOT,
          "  %s to %s: %.0f %%%s%n",
          String.join(" and ", option.getNodeIdsList()),
          names(option.getStagesList()),
          option.getAttainment() * 100,
          option.getWhyNot().isEmpty() ? "" : ", " + option.getWhyNot());
    }
    for (RoleSwitch each : explained.getSwitchesList()) {
      out.printf(
          Locale.ROOT,
          "%.0f s ago: %s from %s to %s%s: %s%n",
          each.getAgeMs() / 1000,
          each.getNodeId(),
          names(each.getFromList()),
          names(each.getToList()),
          each.getManual() ? " by hand" : "",
          each.getError().isEmpty() ? phases(each.getPhasesList()) : each.getError());
    }
  }

  static String phases(List<RolePhase> phases) {
    return phases.stream()
        .map(phase -> String.format(Locale.ROOT, "%s %.0f ms", phase.getName(), phase.getMs()))
        .collect(Collectors.joining(", "));
  }

  private static String names(List<Stage> stages) {
    return stages.stream().map(StageNames::of).collect(Collectors.joining(","));
  }
}
