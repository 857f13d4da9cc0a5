package io.epidote.cli;

import io.epidote.cli.load.Answer;
import io.epidote.cli.load.Answer.Failure;
import io.epidote.cli.load.Arrivals;
import io.epidote.cli.load.Arrivals.Steps.Step;
import io.epidote.cli.load.GoodputSearch;
import io.epidote.cli.load.LoadLevel;
import io.epidote.cli.load.LoadRun;
import io.epidote.cli.load.LoadServer;
import io.epidote.cli.load.ServerWatch;
import io.epidote.cli.load.Slo;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import java.util.function.ToLongFunction;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * More requests than a server can serve: what it still does, what it refuses, how it comes back.
 */
@Command(
    name = "overload",
    description = {
      "Measures a running server under more load than it can take: looks for the highest rate at which enough requests",
      "meet their targets, sends several times as many for some minutes, and then fewer again.",
      "Goodput is requests a second that met both targets. Start the router with --refuse-late and the same targets."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote up --processes --nodes E,P,D --refuse-late --slo-ttft-ms 1000 --slo-tpot-ms 100",
      "  epidote bench overload --slo-ttft-ms 1000 --slo-tpot-ms 100 --input-tokens 32 --output-tokens 16"
    })
final class BenchOverloadCommand implements Callable<Integer> {
  /** How long a level of the search for the peak lasts at least. */
  private static final double SEARCH_S = 12;

  /**
   * And so many times the target: a rate that is a little too high is noticed only when what waits
   * has grown to the target, and would count as served well in a shorter time.
   */
  private static final double SEARCH_TARGETS = 15;

  private static final double ENOUGH = 0.9;

  /** How long requests have to be met again for the server to have recovered. */
  private static final double WINDOW_S = 3;

  /** Of the peak, after the overload. */
  private static final double CALM = 0.7;

  private static final double CALM_S = 30;

  @Mixin private final ServeTargetOptions target = new ServeTargetOptions();
  @Mixin private final ServeWorkloadOptions workloads = new ServeWorkloadOptions();

  @Option(
      names = "--slo-ttft-ms",
      paramLabel = "MS",
      required = true,
      description = "Time to first token that a request should have.")
  private double ttftMs;

  @Option(
      names = "--slo-tpot-ms",
      paramLabel = "MS",
      description = "Time for each token after it, on average over the answer. Default: no target.")
  private double tpotMs = Double.POSITIVE_INFINITY;

  @Option(
      names = "--rate",
      paramLabel = "R",
      description = "Where the search for the peak begins, requests a second. Default: 1.")
  private double rate = 1;

  @Option(
      names = "--times",
      paramLabel = "X",
      description = "How many times the rate of the peak is sent. Default: ${DEFAULT-VALUE}.")
  private double times = 3;

  @Option(
      names = "--seconds",
      paramLabel = "S",
      description = "For how long. Default: ${DEFAULT-VALUE}.")
  private double seconds = 300;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  /** The rate that is served well, and the most goodput that was seen. */
  private record Peak(double rate, double goodput) {}

  @Override
  public Integer call() throws InterruptedException {
    if (!(rate > 0) || !(times > 1) || !(seconds >= 4)) {
      throw new InvalidRequest("--rate must be above 0, --times above 1, --seconds at least 4");
    }
    Slo slo = new Slo(ttftMs, tpotMs);
    Report report = new Report("bench overload");
    try (LoadServer server = LoadServer.open(target.address());
        Progress progress = new Progress()) {
      Peak peak = peak(server, slo, progress);
      double calm = CALM * peak.rate();
      Arrivals.Steps steps =
          new Arrivals.Steps(
              List.of(
                  new Step(calm, WINDOW_S),
                  new Step(times * peak.rate(), seconds),
                  new Step(calm, CALM_S)),
              workloads.seed());
      LoadLevel level;
      List<ServerWatch.Sample> samples;
      try (ServerWatch watch = server.watch()) {
        level =
            new LoadRun(
                    server.target(), workloads.workload(100), workloads.seed(), progress::update)
                .run(steps, steps.count(), slo);
        samples = watch.samples();
      }
      tell(peak, level, samples, slo, report);
    }
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
    return 0;
  }

  private Peak peak(LoadServer server, Slo slo, Progress progress) throws InterruptedException {
    double levelS = Math.max(SEARCH_S, SEARCH_TARGETS * ttftMs / 1e3);
    List<LoadLevel> levels = new ArrayList<>();
    GoodputSearch.Found found =
        new GoodputSearch(
                ENOUGH,
                at -> {
                  LoadLevel level =
                      new LoadRun(
                              server.target(),
                              workloads.workload(levels.size()),
                              workloads.seed() + levels.size(),
                              progress::update)
                          .run(
                              new Arrivals.Poisson(at),
                              (int) Math.max(20, Math.round(at * levelS)),
                              slo);
                  levels.add(level);
                  return level;
                })
            .from(rate);
    if (found.rate() == 0) {
      throw new Unavailable(
          "At no rate did %.0f %% of the requests meet the targets; give others, or a lower --rate"
              .formatted(100 * ENOUGH));
    }
    double best =
        found.levels().stream()
            // Until the last answer: what a level leaves behind has not been served in its time.
            .mapToDouble(level -> level.attainment() * level.answers().size() / level.seconds())
            .max()
            .orElseThrow();
    return new Peak(found.rate(), best);
  }

  private void tell(
      Peak peak, LoadLevel level, List<ServerWatch.Sample> samples, Slo slo, Report report) {
    double from = WINDOW_S;
    double to = WINDOW_S + seconds;
    List<Answer> over = between(level, from, to);
    double goodput = over.stream().filter(slo::met).count() / seconds;
    report
        .figure("peak_rate", Report.rounded(peak.rate()))
        .figure("peak_goodput", Report.rounded(peak.goodput()))
        .figure("overload_rate", Report.rounded(over.size() / seconds))
        .figure("overload_goodput", Report.rounded(goodput))
        .figure("goodput_of_peak", Report.rounded(goodput / peak.goodput()));
    List<Answer> served = over.stream().filter(answer -> answer.failure().isEmpty()).toList();
    report
        .figure("overload_served", served.size())
        .figure(
            "overload_late_first_token",
            served.stream().filter(answer -> !slo.first(answer)).count())
        .figure(
            "overload_slow_tokens", served.stream().filter(answer -> !slo.later(answer)).count());
    for (Failure failure : Failure.values()) {
      report.figure(
          "overload_" + failure.name().toLowerCase(Locale.ROOT),
          over.stream()
              .filter(answer -> answer.failure().stream().anyMatch(failure::equals))
              .count());
    }
    refusal(over, 0.5).ifPresent(ms -> report.figure("refusal_p50_ms", Report.rounded(ms)));
    refusal(over, 0.99).ifPresent(ms -> report.figure("refusal_p99_ms", Report.rounded(ms)));
    report.figure("recovery_s", Report.rounded(recovery(level, to, slo)));
    double quarter = seconds / 4;
    Memory early = memory(samples, level, from, from + quarter);
    Memory late = memory(samples, level, to - quarter, to);
    if (early.nodesMib() > 0) {
      report
          .figure("memory_early_mib", Report.rounded(early.nodesMib()))
          .figure("memory_late_mib", Report.rounded(late.nodesMib()))
          .figure("router_memory_early_mib", Report.rounded(early.routerMib()))
          .figure("router_memory_late_mib", Report.rounded(late.routerMib()));
    }
    int minutes = (int) Math.ceil(seconds / 60);
    for (int minute = 0; minute < minutes; minute++) {
      double begin = from + minute * 60;
      double end = Math.min(to, begin + 60);
      Map<String, Object> row = new LinkedHashMap<>();
      row.put("from_s", begin - from);
      row.put(
          "goodput",
          Report.rounded(
              between(level, begin, end).stream().filter(slo::met).count() / (end - begin)));
      Memory memory = memory(samples, level, begin, end);
      if (memory.nodesMib() > 0) {
        row.put("memory_mib", Report.rounded(memory.nodesMib()));
        row.put("router_memory_mib", Report.rounded(memory.routerMib()));
      }
      report.row(row);
    }
  }

  private static List<Answer> between(LoadLevel level, double from, double to) {
    return level.answers().stream()
        .filter(answer -> at(level, answer) >= from && at(level, answer) < to)
        .toList();
  }

  private static double at(LoadLevel level, Answer answer) {
    return (answer.intended() - level.started()) / 1e9;
  }

  private static OptionalDouble refusal(List<Answer> answers, double part) {
    List<Double> sorted =
        answers.stream()
            .filter(answer -> answer.failure().stream().anyMatch(Failure.BUSY::equals))
            .map(answer -> answer.e2e() / 1e6)
            .sorted(Comparator.naturalOrder())
            .toList();
    return sorted.isEmpty()
        ? OptionalDouble.empty()
        : OptionalDouble.of(sorted.get((int) Math.ceil(part * sorted.size()) - 1));
  }

  /**
   * From the overload's end until enough of the requests of a while meet their targets again; all
   * that was looked at when they do not.
   */
  private static double recovery(LoadLevel level, double end, Slo slo) {
    for (Answer answer : between(level, end, end + CALM_S - WINDOW_S)) {
      double from = at(level, answer);
      List<Answer> window = between(level, from, from + WINDOW_S);
      if (window.stream().filter(slo::met).count() >= ENOUGH * window.size()) {
        return from - end;
      }
    }
    return CALM_S;
  }

  /** Resident, on average over a while; 0 where it is not told. */
  private record Memory(double nodesMib, double routerMib) {}

  private static Memory memory(
      List<ServerWatch.Sample> samples, LoadLevel level, double from, double to) {
    List<ServerWatch.Sample> between =
        samples.stream()
            .filter(sample -> {
              double at = (sample.nanos() - level.started()) / 1e9;
              return at >= from && at < to;
            })
            .toList();
    return new Memory(
        mib(between, ServerWatch.Sample::residentBytes),
        mib(between, ServerWatch.Sample::routerBytes));
  }

  private static double mib(
      List<ServerWatch.Sample> samples, ToLongFunction<ServerWatch.Sample> bytes) {
    return samples.stream().mapToLong(bytes).average().orElse(0) / (1 << 20);
  }
}
