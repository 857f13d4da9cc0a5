package io.epidote.cli;

import io.epidote.cli.CompareSide.Layout;
import io.epidote.cli.RoleAblationSimulation.Times;
import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.proto.v1.RolePhase;
import io.epidote.proto.v1.RoleSwitch;
import io.epidote.router.cluster.Sharding;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** The paper's ablation of role switching: short answers, then long ones, on a fixed allocation. */
@Command(
    name = "roles",
    description = {
      "Compares a cluster whose router switches roles by itself with the same cluster held as it is, on emulated",
      "devices: requests of one 4032x3024 picture, ten with answers of 50 tokens and then ninety of 500.",
      "Each side is started anew for every round, and they take turns; then both are simulated.",
      "With --trace: a load whose demand for stages changes, on eight devices, beside the allocation that serves it",
      "best without being changed."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote bench roles --json",
      "  epidote bench roles --trace phases --rounds 1",
      "  epidote bench roles --profile minicpm-v-2.6-a100 --nodes E,E,E,E,E,P,D,D --rate 3"
    })
final class BenchRolesCommand implements Callable<Integer> {
  static final int WORDS = 22;

  @Option(
      names = "--profile",
      paramLabel = "NAME|FILE",
      converter = EmulationOptions.ProfileConverter.class,
      description = "The device, with a model. Default: minicpm-v-2.6-a100-paper.")
  @Nullable CostProfile profile;

  @Option(
      names = "--nodes",
      paramLabel = "LIST",
      description = "With what both begin. Default: ${DEFAULT-VALUE}.")
  private String nodes = "E,E,E,E,E,P,D,D";

  @Option(
      names = "--rate",
      paramLabel = "R",
      description = "Requests a second. Default: ${DEFAULT-VALUE}.")
  private double rate = 3;

  @Option(
      names = "--short",
      paramLabel = "N",
      description = "Requests with answers of 50 tokens. Default: ${DEFAULT-VALUE}.")
  private int shortAnswers = 10;

  @Option(
      names = "--long",
      paramLabel = "N",
      description = "Requests with answers of 500, after them. Default: ${DEFAULT-VALUE}.")
  private int longAnswers = 90;

  @Option(
      names = "--rounds",
      paramLabel = "N",
      description = "Measurements of each side. Default: ${DEFAULT-VALUE}.")
  private int rounds = 3;

  @Option(
      names = "--cooldown",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description = "From one switch to the next. Default: 3s.")
  private Duration cooldown = Duration.ofSeconds(3);

  @Option(
      names = "--apart",
      description =
          "Give a node one stage only. Without it nodes of the ablation may encode and decode at a time, as with --shared-roles of a router; in traces each has one.")
  private boolean apart;

  @Option(
      names = "--trace",
      paramLabel = "NAME",
      description =
          "Instead of the ablation: phases, bursty, steady or oscillating, whose demand for stages changes or does not, beside the best fixed allocation.")
  @Nullable String trace;

  @Option(
      names = "--seconds",
      paramLabel = "S",
      description = "How long a trace is. Default: 240, of steady 600.")
  @Nullable Double seconds;

  @Option(
      names = "--candidates",
      paramLabel = "N",
      description =
          "Fixed allocations that are measured, those that do best in a simulation of the trace. Default: ${DEFAULT-VALUE}.")
  private int candidates = 2;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  private final Samples samples = new Samples();

  @Override
  public Integer call() {
    CostProfile device = profile == null ? Home.profile("minicpm-v-2.6-a100-paper") : profile;
    if (device.model().isEmpty() || device.pictureMs().isEmpty()) {
      throw new InvalidRequest(
          "The profile emulates no model; expected one with model and costs.picture_ms, for example minicpm-v-2.6-a100-paper");
    }
    if (candidates < 1 || (seconds != null && !(seconds > 0))) {
      throw new InvalidRequest("--candidates must be at least 1, --seconds above 0");
    }
    if (rounds < 1 || shortAnswers < 0 || longAnswers < 1 || !(rate > 0)) {
      throw new InvalidRequest("--rounds and --long must be at least 1, --rate above 0");
    }
    Report report = new Report("bench roles");
    if (trace == null) {
      ablation(device, report);
    } else {
      RoleTrace chosen = RoleTrace.ofWord(trace);
      double usual = chosen == RoleTrace.STEADY ? 600 : 240;
      try (Progress progress = new Progress()) {
        new RoleTraceBench(
                device, chosen, seconds == null ? usual : seconds, cooldown, report, progress)
            .run(NodeSpec.parseList(nodes).size(), candidates, rounds);
      }
    }
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
    return 0;
  }

  private void ablation(CostProfile device, Report report) {
    try (Progress progress = new Progress()) {
      for (int round = 0; round < rounds; round++) {
        measure(device, "fixed", "manual", round, report, progress);
        measure(device, "switching", "auto", round, report, progress);
      }
    }
    report
        .figure("rounds", rounds)
        .figure("latency_gain", ratio("fixed", "switching", "latency"))
        .figure("tpot_gain", ratio("fixed", "switching", "tpot"))
        .figure("ttft_ratio", ratio("switching", "fixed", "ttft"))
        .figure("switches", samples.median("switching switches"));
    for (String side : List.of("fixed", "switching")) {
      for (String what : List.of("latency", "tpot", "ttft")) {
        report.figure(side + "_" + what + "_ms", samples.median(side + " " + what));
      }
    }
    simulate(device, report);
  }

  /** The same in virtual time, of other arrivals. */
  private void simulate(CostProfile device, Report report) {
    try (PlanCluster clusters = PlanCluster.open(device, RoleTraceSimulation.modelFolder(device))) {
      int[] answers = IntStream.range(0, shortAnswers + longAnswers).map(this::tokens).toArray();
      RoleAblationSimulation simulation =
          new RoleAblationSimulation(clusters, nodes, rate, answers);
      Times held = simulation.held();
      Times switching = simulation.switching(RoleTraceSimulation.rules(cooldown, !apart));
      report
          .figure("simulated_latency_gain", held.latency() / switching.latency())
          .figure("simulated_tpot_gain", held.tpot() / switching.tpot())
          .figure("simulated_ttft_ratio", switching.ttft() / held.ttft());
    }
  }

  private double ratio(String over, String under, String what) {
    return samples.median(over + " " + what) / samples.median(under + " " + what);
  }

  private void measure(
      CostProfile device, String name, String roles, int round, Report report, Progress progress) {
    progress.update("round %d of %d: %s".formatted(round + 1, rounds, name));
    Layout layout = new Layout(name, nodes, "auto", true, Sharding.TILES);
    HeaderPictures requests = new HeaderPictures(7 + round);
    try (CompareSide side =
        CompareSide.start(
            layout,
            device,
            1,
            router -> {
              router.roles = roles;
              router.roleCooldown = cooldown;
              router.sharedRoles = !apart;
            },
            progress)) {
      List<Optional<CompareSide.Times>> answers =
          CompareLoad.run(
              side,
              rate,
              shortAnswers + longAnswers,
              number -> requests.request(1, 4032, 3024, WORDS, tokens(number)));
      long lost = answers.stream().filter(Optional::isEmpty).count();
      if (lost > 0) {
        throw new Unavailable(
            "%d of %d requests failed on the side '%s': there is nothing to compare"
                .formatted(lost, answers.size(), name));
      }
      double latency = 0;
      double ttft = 0;
      double tpot = 0;
      for (int i = 0; i < answers.size(); i++) {
        CompareSide.Times times = answers.get(i).orElseThrow();
        latency += times.end();
        ttft += times.firstToken();
        tpot += (times.end() - times.firstToken()) / (tokens(i) - 1);
      }
      List<RoleSwitch> switches = side.roles().getSwitchesList();
      samples.add(name + " latency", latency / answers.size());
      samples.add(name + " ttft", ttft / answers.size());
      samples.add(name + " tpot", tpot / answers.size());
      samples.add(name + " switches", switches.size());
      switches.forEach(each -> report.row(row(round, each)));
    }
  }

  private int tokens(int number) {
    return number < shortAnswers ? 50 : 500;
  }

  static Map<String, Object> row(int round, RoleSwitch each) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("round", round);
    row.put("node", each.getNodeId());
    row.put("from", each.getFromList().stream().map(NodeSpec::word).collect(Collectors.joining()));
    row.put("to", each.getToList().stream().map(NodeSpec::word).collect(Collectors.joining()));
    for (RolePhase phase : each.getPhasesList()) {
      row.put(phase.getName() + "_ms", phase.getMs());
    }
    row.put("error", each.getError());
    return row;
  }
}
