package io.epidote.cli;

import io.epidote.cli.ChaosCluster.Between;
import io.epidote.cli.chaos.ChaosFigures;
import io.epidote.cli.chaos.ChaosRun;
import io.epidote.cli.chaos.Fault;
import io.epidote.cli.chaos.FaultKind;
import io.epidote.cli.chaos.FaultSchedule;
import io.epidote.cli.chaos.NodeMachine;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.io.PrintStream;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.ITypeConverter;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "chaos",
    description = {
      "Does faults to a cluster of its own under load, and reports what every request got.",
      "First every request is answered undisturbed; under faults it must get the same tokens again."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote chaos",
      "  epidote chaos --schedule mixed --for 5m --seed 3 --json",
      "  epidote chaos --faults kill:decode@5s/every=5s --for 1m",
      "  epidote chaos --faults partition:router~decode-0@3s/for=10s,corrupt:prefill*/by=5%%",
      "  epidote chaos --hosts --faults loss:5%%,delay:200ms,partition:decode~prefill@4s/for=10s",
      "  epidote chaos --faults disk:prefill@2s/for=6s,memory:decode@12s/for=6s",
      "  epidote chaos --schedule none --cancel 20%% --for 30m",
      "  epidote chaos --engine emulated --profile minicpm-v-2.6-a100 --schedule stages"
    })
final class ChaosCommand implements Callable<Integer> {
  @Option(
      names = "--nodes",
      paramLabel = "LIST",
      description = "Nodes, as letters of their stages. Default: ${DEFAULT-VALUE}.")
  private String nodes = "E,E,P,P,D,D";

  @Option(
      names = "--schedule",
      paramLabel = "NAME",
      description =
          "kills, stages, rolling, pauses, partitions, corruption, mixed or none. Default: ${DEFAULT-VALUE}.")
  private String schedule = "kills";

  @Option(
      names = "--faults",
      paramLabel = "LIST",
      description = {
        "Faults in place of a schedule: KIND[:TARGET][@START][/every=TIME][/for=TIME][/by=AMOUNT], with commas between.",
        "Kinds: kill, stage (all its nodes, of which one comes back soon), term, stop, disk (full), memory (a limit of its control group), rlimit (no more memory for its process), partition, delay, loss (with --hosts), cut, corrupt (of pulled bytes).",
        "Targets: a node (decode-0), one of a stage (decode), all of a stage (decode*), any (a node of each stage in turn), each (all nodes in turn), all; of a partition two of them with ~ between, one of which may be router."
      })
  private @Nullable String faults;

  @Option(
      names = "--for",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description = "How long requests arrive. Default: 30s.")
  private Duration length = Duration.ofSeconds(30);

  @Option(
      names = "--rate",
      paramLabel = "N",
      description = "Requests a second, at random times. Default: ${DEFAULT-VALUE}.")
  private double rate = 4;

  @Option(
      names = "--cancel",
      paramLabel = "SHARE",
      converter = ShareConverter.class,
      description =
          "Share of the requests whose callers leave in the middle of the answer. Default: 0%%.")
  private double cancel;

  @Option(
      names = "--distinct",
      paramLabel = "N",
      description = "Distinct requests, which come again and again. Default: ${DEFAULT-VALUE}.")
  private int distinct = 24;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "Chooses requests, arrivals and targets. Default: ${DEFAULT-VALUE}.")
  private long seed = 7;

  @Option(
      names = "--restart-after",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description = "From a process's end to its start. Default: 1s.")
  private Duration restartAfter = Duration.ofSeconds(1);

  @Option(
      names = "--any-port",
      description = "A node that is started again gets other ports. Default: the same.")
  private boolean anyPort;

  @Option(
      names = "--timeout",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description = "A request without an end after this time hangs. Default: 60s.")
  private Duration timeout = Duration.ofSeconds(60);

  @Option(
      names = "--settle",
      paramLabel = "TIME",
      converter = TimeConverter.class,
      description =
          "How long blocks, leases and requests may take to be gone when all answers have ended. Default: 45s.")
  private Duration settle = Duration.ofSeconds(45);

  @Option(
      names = "--hosts",
      description =
          "Give the router and each node a host of its own: a network namespace, with a network between them that loses and delays. Needs Linux and root.")
  private boolean hosts;

  @Option(
      names = "--logs",
      paramLabel = "DIR",
      description = "Keep the processes' logs there. Default: they are removed.")
  private @Nullable Path logs;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Mixin private ClusterOptions options = new ClusterOptions();
  @Mixin private KeyOptions key = new KeyOptions();

  static final class ShareConverter implements ITypeConverter<Double> {
    @Override
    public Double convert(String text) {
      return FaultSchedule.share(text);
    }
  }

  @Override
  public Integer call() throws InterruptedException {
    if (rate <= 0 || distinct < 1 || length.isZero()) {
      throw new InvalidRequest("--rate, --distinct and --for must be above 0");
    }
    List<NodeSpec> specs = NodeSpec.parseList(nodes);
    if (faults == null && !FaultSchedule.names().contains(schedule)) {
      throw new InvalidRequest(
          "'%s' is no schedule; expected one of %s"
              .formatted(schedule, String.join(", ", FaultSchedule.names())));
    }
    List<Fault> plan =
        FaultSchedule.plan(
            faults == null ? schedule : faults, ChaosCluster.stagesOf(specs), length, seed);
    plan = possible(plan);
    plan.forEach(fault -> System.err.println("  " + fault));
    boolean disturbed = plan.stream().anyMatch(fault -> fault.kind().ofNetwork());
    ConnectionOptions as = ConnectionOptions.of(options.node.tls, key);
    ChaosCluster.Shape shape =
        new ChaosCluster.Shape(
            options.onAnyPort(),
            specs,
            hosts ? Between.HOSTS : disturbed ? Between.PROXIES : Between.NOTHING,
            anyPort,
            taken(plan),
            Optional.ofNullable(logs),
            seed);
    try (Progress progress = new Progress();
        ChaosCluster cluster = ChaosCluster.start(shape, progress)) {
      checkNetwork(plan, cluster);
      ChaosRun.Outcome outcome =
          new ChaosRun(
                  new ChaosRun.Plan(
                      cluster.grpcAddress(),
                      cluster.httpAddress(),
                      as.access(),
                      distinct,
                      rate,
                      length,
                      restartAfter,
                      timeout,
                      cancel,
                      options.node.emulation.device().isEmpty(),
                      seed),
                  cluster,
                  plan,
                  progress::update)
              .run();
      progress.update("waiting until nothing is held any more");
      ClusterAccounts accounts =
          ClusterAccounts.settle(cluster.grpcAddress(), as, cluster.stagesOf().keySet(), settle);
      report(new ChaosFigures(outcome), accounts);
    }
    return 0;
  }

  /** Faults that this machine lets be done; of those that were written out all must be. */
  private List<Fault> possible(List<Fault> plan) {
    List<Fault> possible = new ArrayList<>();
    for (Fault fault : plan) {
      if (NodeMachine.does(fault.kind())) {
        possible.add(fault);
      } else {
        String why =
            "%s cannot be done: %s".formatted(fault.kind().word(), NodeMachine.needs(fault.kind()));
        if (faults != null) {
          throw new InvalidRequest(why);
        }
        System.err.println("  left out: " + why);
      }
    }
    return possible;
  }

  /** Of each node, what kinds of faults are done to its machine. */
  private static Map<String, Set<FaultKind>> taken(List<Fault> plan) {
    Map<String, Set<FaultKind>> taken = new LinkedHashMap<>();
    plan.stream()
        .filter(fault -> fault.kind().ofMachine())
        .forEach(fault ->
            fault
                .targets()
                .forEach(node ->
                    taken
                        .computeIfAbsent(node, _ -> EnumSet.noneOf(FaultKind.class))
                        .add(fault.kind())));
    return taken;
  }

  private static void checkNetwork(List<Fault> plan, ChaosCluster cluster) {
    for (Fault fault : plan) {
      if (fault.kind().ofNetwork() && !cluster.network().does(fault.kind())) {
        throw new InvalidRequest(
            "%s cannot be done: %s"
                .formatted(fault.kind().word(), cluster.network().needs(fault.kind())));
      }
    }
  }

  private void report(ChaosFigures found, ClusterAccounts accounts) {
    Report report = new Report("chaos");
    found
        .figures()
        .forEach((name, value) ->
            report.figure(
                name, value instanceof Double real ? (Number) Report.rounded(real) : value));
    report
        .figure("accounts_nonzero", accounts.left().size())
        .figure("settled_after_s", Report.rounded(accounts.settledAfter()))
        .figure("integrity_checks", accounts.integrityChecks());
    found.rows().forEach(report::row);
    accounts
        .left()
        .forEach((member, holds) -> report.row(Map.of("member", member, "holds", holds)));
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
      print(found, accounts, System.out);
    }
  }

  /** What a process held, at the load's beginning and at its end. */
  private static String held(Map<String, Object> row) {
    return row.keySet().stream()
        .filter(name -> row.containsKey(name + "_end"))
        .map(name -> "%s %s to %s".formatted(name, row.get(name), row.get(name + "_end")))
        .collect(Collectors.joining(", "));
  }

  private static void print(ChaosFigures found, ClusterAccounts accounts, PrintStream out) {
    out.println();
    for (Map<String, Object> row : found.rows()) {
      if (row.containsKey("fault")) {
        out.printf(
            Locale.ROOT,
            "%7s s  %-9s %-28s %3s at work, undone after %s s %s%n",
            row.get("at_s"),
            row.get("fault"),
            row.get("target"),
            row.get("at_work"),
            row.get("undone_after_s"),
            row.getOrDefault("note", ""));
      } else if (row.containsKey("process")) {
        out.printf("%-12s %s%n", row.get("process"), held(row));
      } else {
        out.printf(
            Locale.ROOT,
            "%-12s %-8s %s, %s pictures, %s to %s s, %s of %s tokens: %s%n",
            row.get("request"),
            row.get("got"),
            row.get("over"),
            row.get("pictures"),
            row.get("sent_s"),
            row.get("ended_s"),
            row.get("tokens"),
            row.get("of_tokens"),
            row.get("error"));
      }
    }
    accounts.left().forEach((member, holds) -> out.printf("%-12s holds    %s%n", member, holds));
  }
}
