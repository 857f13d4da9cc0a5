package io.epidote.cli;

import io.epidote.cli.load.Arrivals;
import io.epidote.cli.load.GoodputSearch;
import io.epidote.cli.load.HtmlReport;
import io.epidote.cli.load.LoadLevel;
import io.epidote.cli.load.LoadRun;
import io.epidote.cli.load.LoadServer;
import io.epidote.cli.load.LoadSession;
import io.epidote.cli.load.LoadSession.Levels;
import io.epidote.cli.load.Slo;
import io.epidote.cli.load.Workload;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.node.BuildInfo;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "serve",
    description = {
      "Measures a running server, this one or another that speaks OpenAI's API: sends a workload's requests in a",
      "closed loop (--clients) or an open one (--rate), reads streamed answers, and tells times to first token, for",
      "each token after it and of whole answers, and how many requests met their targets.",
      "In an open loop times count from when a request should have been sent."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nJSONL of one's own, an object a line:%n",
    footer = {
      "  {\"prompt\": \"how many?\", \"pictures\": [\"a.jpg\", \"1280x720\"], \"output_tokens\": 32, \"at_s\": 0.5, \"phase\": \"morning\"}",
      "  {\"input_tokens\": 128, \"output_tokens\": 64}        random text of that length",
      "  {\"messages\": [...], \"max_tokens\": 64}             the body of a chat, sent as it is",
      "  {\"body\": {...}}                                   any body, sent as it is",
      "Pictures are files beside it, or sizes of random ones; at_s is when a request arrives with --arrivals trace.",
      "",
      "Examples:",
      "  epidote up --processes --nodes PD --model smollm2-135m --precision int8 --threads 2 --kv-cache 256MiB",
      "  epidote bench serve --clients 16 --requests 64 --json",
      "  epidote bench serve --rates 1,2,4,8 --requests 100 --slo-ttft-ms 500 --slo-tpot-ms 50 --html report.html",
      "  epidote bench serve --goodput --rate 2 --slo-ttft-ms 500 --slo-tpot-ms 50",
      "  epidote bench serve --workload nextqa --rate 0.5 --arrivals bursts --requests 40",
      "  epidote bench serve --workload mine.jsonl --arrivals trace --speed 2",
      "  epidote bench serve --url http://127.0.0.1:8080 --api completions      a server of another make"
    })
final class BenchServeCommand implements Callable<Integer> {
  /** How requests of an open loop arrive. */
  enum Arriving {
    poisson,
    bursts,
    trace
  }

  @Mixin private final ServeTargetOptions target = new ServeTargetOptions();
  @Mixin private final ServeWorkloadOptions workloads = new ServeWorkloadOptions();

  @Option(
      names = "--clients",
      split = ",",
      paramLabel = "N",
      description =
          "Closed loop: requests at a time; several numbers are measured one after the other. Default: 16, without --rate.")
  private List<Integer> clients = List.of();

  @Option(
      names = {"--rate", "--rates"},
      split = ",",
      paramLabel = "R",
      description = "Open loop: requests a second; several rates are measured one after the other.")
  private List<Double> rates = List.of();

  @Option(
      names = "--arrivals",
      paramLabel = "HOW",
      description =
          "poisson, bursts, or trace (a JSONL workload's at_s). Default: bursts for the workload egocentric, else poisson.")
  private @Nullable Arriving arriving;

  @Option(
      names = "--burst",
      paramLabel = "N",
      description = "Requests of a burst. Default: ${DEFAULT-VALUE}.")
  private int burst = 8;

  @Option(
      names = "--speed",
      paramLabel = "X",
      description = "How many times faster a trace is replayed. Default: ${DEFAULT-VALUE}.")
  private double speed = 1;

  @Option(
      names = "--requests",
      paramLabel = "N",
      description =
          "Requests to measure, of each rate or number of clients. Default: 64, of a trace all.")
  private @Nullable Integer requests;

  @Option(
      names = "--warm-up",
      paramLabel = "N",
      description = "Requests before, which are not measured. Default: ${DEFAULT-VALUE}.")
  private int warmUp = 16;

  @Option(
      names = "--slo-ttft-ms",
      paramLabel = "MS",
      description = "Time to first token that a request should have. Default: no target.")
  private double ttftMs = Double.POSITIVE_INFINITY;

  @Option(
      names = "--slo-tpot-ms",
      paramLabel = "MS",
      description = "Time for each token after it, on average over the answer. Default: no target.")
  private double tpotMs = Double.POSITIVE_INFINITY;

  @Option(
      names = "--goodput",
      description =
          "Look for the highest rate at which enough requests meet both targets, from --rate on (default 1).")
  private boolean goodput;

  @Option(
      names = "--attainment",
      paramLabel = "SHARE",
      description = "How many requests are enough. Default: ${DEFAULT-VALUE}.")
  private double attainment = 0.9;

  @Option(
      names = "--compression-rate",
      paramLabel = "X",
      description =
          "What `bench quality` found for the weights that are served; reported as one of EfficientLLM's six metrics.")
  private @Nullable Double compressionRate;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Option(
      names = "--html",
      paramLabel = "FILE",
      description = "Write a page with plots that needs nothing else.")
  private @Nullable Path html;

  @Override
  public Integer call() throws InterruptedException {
    check();
    try (LoadServer server = LoadServer.open(target.address());
        Progress progress = new Progress()) {
      warmUp(server, progress);
      LoadSession session =
          LoadSession.of(
              server,
              compressionRate == null ? OptionalDouble.empty() : OptionalDouble.of(compressionRate),
              () -> measure(server, progress));
      progress.close();
      Report report = ServeFigures.report(session);
      if (json) {
        report.print(System.out);
      } else {
        report.printTable(System.out);
      }
      if (html != null) {
        HtmlReport.write(html, facts(server), report.figures(), session);
        System.err.println("The report is in " + html.toAbsolutePath());
      }
      // Figures may be bad, but without one answer nothing was measured.
      return session.levels().stream().allMatch(level -> level.whole().isEmpty()) ? 1 : 0;
    }
  }

  private void check() {
    if (warmUp < 0 || burst < 1 || (requests != null && requests < 1)) {
      throw new InvalidRequest("--requests and --burst must be at least 1, --warm-up 0");
    }
    if (clients.stream().anyMatch(count -> count < 1)
        || rates.stream().anyMatch(rate -> !(rate > 0))
        || !(speed > 0)) {
      throw new InvalidRequest("--clients must be at least 1, --rate and --speed above 0");
    }
    if (!clients.isEmpty() && (!rates.isEmpty() || goodput)) {
      throw new InvalidRequest("--clients is a closed loop, --rate an open one; give one of them");
    }
    if (goodput && !slo().given()) {
      throw new InvalidRequest("--goodput needs --slo-ttft-ms, --slo-tpot-ms, or both");
    }
    if (!(attainment > 0 && attainment <= 1)) {
      throw new InvalidRequest("--attainment must be above 0 and at most 1");
    }
  }

  private Slo slo() {
    return new Slo(ttftMs, tpotMs);
  }

  private void warmUp(LoadServer server, Progress progress) throws InterruptedException {
    if (warmUp > 0) {
      LoadLevel warm =
          new LoadRun(
                  server.target(),
                  workloads.workload(-1),
                  workloads.seed(),
                  text -> progress.update("warming up, " + text))
              .run(new Arrivals.Clients(Math.min(4, warmUp)), warmUp, slo());
      if (warm.whole().isEmpty()) {
        throw new Unavailable(
            "Not one of %d requests to warm up was answered by %s; the first: %s"
                .formatted(warmUp, server.target().address(), warm.answers().getFirst().message()));
      }
    }
  }

  private Levels measure(LoadServer server, Progress progress) throws InterruptedException {
    List<LoadLevel> levels = new ArrayList<>();
    if (goodput) {
      GoodputSearch.Found found =
          new GoodputSearch(
                  attainment,
                  rate -> {
                    LoadLevel level = run(server, open(rate), levels.size(), progress);
                    levels.add(level);
                    return level;
                  })
              .from(rates.isEmpty() ? 1 : rates.getFirst());
      return new Levels(found.levels(), found.rate());
    }
    for (Arrivals arrivals : arrivals()) {
      levels.add(run(server, arrivals, levels.size(), progress));
    }
    return new Levels(levels, null);
  }

  private LoadLevel run(LoadServer server, Arrivals arrivals, int index, Progress progress)
      throws InterruptedException {
    Workload workload = workloads.workload(index);
    int count =
        requests != null ? requests : arrivals instanceof Arrivals.Trace ? workload.size() : 64;
    return new LoadRun(server.target(), workload, workloads.seed() + index, progress::update)
        .run(arrivals, count, slo());
  }

  private List<? extends Arrivals> arrivals() {
    if (arriving == Arriving.trace) {
      if (workloads.workload(0).size() == 0) {
        throw new InvalidRequest("--arrivals trace needs a JSONL workload with at_s in its lines");
      }
      return List.of(new Arrivals.Trace(speed));
    }
    if (!rates.isEmpty()) {
      return rates.stream().map(this::open).toList();
    }
    return (clients.isEmpty() ? List.of(16) : clients).stream().map(Arrivals.Clients::new).toList();
  }

  private Arrivals open(double rate) {
    boolean bursts =
        arriving == null ? workloads.name().equals("egocentric") : arriving == Arriving.bursts;
    return bursts ? new Arrivals.Bursts(rate, burst) : new Arrivals.Poisson(rate);
  }

  private Map<String, String> facts(LoadServer server) {
    Map<String, String> facts = new LinkedHashMap<>();
    facts.put("server", server.target().address());
    if (!server.model().isEmpty()) {
      facts.put("model", server.model());
    }
    facts.put("workload", workloads.name());
    facts.put(
        "measured", LocalDateTime.now().format(DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm")));
    facts.put("Epidote", BuildInfo.VERSION);
    facts.put("cores here", Integer.toString(Runtime.getRuntime().availableProcessors()));
    return facts;
  }
}
