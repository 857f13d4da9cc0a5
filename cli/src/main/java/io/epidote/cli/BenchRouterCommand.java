package io.epidote.cli;

import io.epidote.cli.load.Access;
import io.epidote.cli.load.Arrivals;
import io.epidote.cli.load.LoadLevel;
import io.epidote.cli.load.LoadRun;
import io.epidote.cli.load.LoadServer;
import io.epidote.cli.load.Range;
import io.epidote.cli.load.Slo;
import io.epidote.cli.load.WorkloadOptions;
import io.epidote.cli.load.Workloads;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.Unavailable;
import io.epidote.proto.v1.GetModelResponse;
import io.epidote.proto.v1.Stage;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "router",
    description = {
      "Measures a router alone, in a process of its own: nodes that have every answer at once, and clients, share",
      "this machine with it. Requests a second over HTTP with --clients at a time, each token in an event of its",
      "own; what the router adds to a request at half that load; how many streams it holds at a time, and its",
      "memory then; what it allocates for a token and computes for a request."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {"  epidote bench router --json"})
final class BenchRouterCommand implements Callable<Integer> {
  private static final List<Stage> PREFILL = List.of(Stage.STAGE_PREFILL);
  private static final List<Stage> DECODE = List.of(Stage.STAGE_DECODE);
  private static final Slo NO_TARGET = new Slo(Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY);

  /** Half of the requests a second that a router should do on two cores. */
  private static final double HALF_LOAD = 1000;

  /** Streams that are opened a second, to be held. */
  private static final double OPENED_A_SECOND = 1000;

  /** How long requests come at half load before they are measured. */
  private static final Duration SETTLING = Duration.ofSeconds(5);

  private static final Duration HOLD_TIMEOUT = Duration.ofSeconds(90);

  @Option(
      names = "--clients",
      paramLabel = "N",
      description = "Requests at a time. Default: ${DEFAULT-VALUE}.")
  private int clients = 64;

  @Option(
      names = "--requests",
      paramLabel = "N",
      description = "Requests to measure, each time. Default: ${DEFAULT-VALUE}.")
  private int requests = 20_000;

  @Option(
      names = "--warm-up",
      paramLabel = "N",
      description = "Requests before, while code is compiled. Default: ${DEFAULT-VALUE}.")
  private int warmUp = 60_000;

  @Option(
      names = "--rate",
      paramLabel = "R",
      description =
          "Requests a second that what the router adds is measured at. Default: half of what it can do, at most 1000.")
  private double rate;

  @Option(
      names = "--tokens",
      paramLabel = "N",
      description = "Of an answer. Default: ${DEFAULT-VALUE}.")
  private int tokens = 32;

  @Option(
      names = "--streams",
      paramLabel = "N",
      description = "Answers to hold at a time; 0: none. Default: ${DEFAULT-VALUE}.")
  private int streams = 10_000;

  @Option(
      names = "--router-flags",
      split = " ",
      paramLabel = "FLAGS",
      description = "For the router's JVM, as to record where its time goes.")
  private List<String> flags = List.of();

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() throws InterruptedException {
    if (clients < 1 || requests < 1 || tokens < 3 || streams < 0 || warmUp < 0) {
      throw new InvalidRequest(
          "--clients and --requests must be at least 1, --tokens 3, --streams and --warm-up 0");
    }
    Report report = new Report("bench router");
    try (Progress progress = new Progress();
        RouterProcess router = RouterProcess.start(Math.max(clients, streams) + 256, flags);
        Nodes nodes = new Nodes(router.grpc(), progress);
        LoadServer server = server(router)) {
      if (warmUp > 0) {
        run(server, new Arrivals.Clients(clients), warmUp, progress);
      }
      double most = throughput(router, server, report, progress);
      latency(server, rate > 0 ? rate : Math.min(most / 2, HALF_LOAD), report, progress);
      if (streams > 0) {
        hold(router, nodes, server, report, progress);
      }
    }
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
    return 0;
  }

  private static LoadServer server(RouterProcess router) throws InterruptedException {
    return LoadServer.open(
        new LoadServer.Address(
            router.url(),
            "chat",
            false,
            Optional.empty(),
            Optional.empty(),
            Access.PLAIN,
            false,
            HOLD_TIMEOUT.multipliedBy(2)));
  }

  /** Two nodes of each stage that texts need. */
  private static final class Nodes implements AutoCloseable {
    private final List<InstantNode> all = new ArrayList<>();

    Nodes(String router, Progress progress) {
      GetModelResponse model;
      try (InferenceClient client = new InferenceClient(router)) {
        model = client.model();
      }
      for (int i = 0; i < 2; i++) {
        all.add(new InstantNode("prefill-" + i, PREFILL, router, model));
        all.add(new InstantNode("decode-" + i, DECODE, router, model));
      }
      ClusterStart.awaitNodes(router, all.size(), progress, ConnectionOptions.plain());
    }

    void hold() {
      all.forEach(InstantNode::hold);
    }

    int held() {
      return all.stream().mapToInt(InstantNode::held).sum();
    }

    void release() {
      all.forEach(InstantNode::release);
    }

    @Override
    public void close() {
      all.forEach(InstantNode::close);
    }
  }

  private LoadLevel run(LoadServer server, Arrivals arrivals, int count, Progress progress)
      throws InterruptedException {
    LoadLevel level =
        new LoadRun(
                server.target(),
                Workloads.named(
                    "random",
                    new WorkloadOptions(
                        null,
                        List.of(),
                        new Range(16, 16),
                        new Range(tokens, tokens),
                        512,
                        true,
                        1,
                        false,
                        System.nanoTime())),
                5,
                progress::update)
            .run(arrivals, count, NO_TARGET);
    if (level.whole().size() < count) {
      throw new Unavailable(
          "%d of %d requests had no answer: %s"
              .formatted(count - level.whole().size(), count, level.failures()));
    }
    return level;
  }

  private double throughput(
      RouterProcess router, LoadServer server, Report report, Progress progress)
      throws InterruptedException {
    long cpu = router.cpuMicros();
    double allocated = router.metric("epidote_allocated_bytes_total");
    LoadLevel level = run(server, new Arrivals.Clients(clients), requests, progress);
    double bytes = router.metric("epidote_allocated_bytes_total") - allocated;
    double rate = level.requestsPerSecond();
    report
        .figure("requests_s", Report.rounded(rate))
        .figure("output_tok_s", Report.rounded(level.outputTokens() / level.seconds()))
        .figure(
            "router_cpu_us_per_request",
            Report.rounded((router.cpuMicros() - cpu) / (double) requests))
        .figure("allocated_bytes_per_token", Report.rounded(bytes / level.outputTokens()))
        .figure("full_load_e2e_p50_ms", ms(level, 50))
        .figure("full_load_e2e_p99_ms", ms(level, 99));
    return rate;
  }

  /** The nodes take no time, so that all the time that an answer takes is added to it. */
  private void latency(LoadServer server, double rate, Report report, Progress progress)
      throws InterruptedException {
    // Code that clients at their own pace run is compiled anew.
    run(server, new Arrivals.Poisson(rate), (int) (SETTLING.toSeconds() * rate) + 1, progress);
    LoadLevel level = run(server, new Arrivals.Poisson(rate), requests, progress);
    report
        .figure("half_load_requests_s", Report.rounded(rate))
        .figure("added_p50_ms", ms(level, 50))
        .figure("added_p99_ms", ms(level, 99))
        .figure("added_ttft_p99_ms", Report.rounded(level.ttft().getValueAtPercentile(99) / 1e3))
        .figure("sent_late_p99_ms", Report.rounded(level.lateMs()));
  }

  private static double ms(LoadLevel level, double percentile) {
    return Report.rounded(level.e2e().getValueAtPercentile(percentile) / 1e3);
  }

  private void hold(
      RouterProcess router, Nodes nodes, LoadServer server, Report report, Progress progress)
      throws InterruptedException {
    nodes.hold();
    CompletableFuture<LoadLevel> answers =
        CompletableFuture.supplyAsync(() -> {
          try {
            return run(server, new Arrivals.Poisson(OPENED_A_SECOND), streams, progress);
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CompletionException(e);
          }
        });
    long deadline = System.nanoTime() + HOLD_TIMEOUT.toNanos();
    while (nodes.held() < streams && !answers.isDone() && System.nanoTime() < deadline) {
      Thread.sleep(100);
    }
    // What is held is so for a while, and the router does what it does beside.
    TimeUnit.SECONDS.sleep(5);
    report
        .figure(
            "streams_held",
            (int) Math.min(nodes.held(), router.metric("vllm:num_requests_running")))
        .figure("rss_mib", router.residentMib());
    nodes.release();
    try {
      answers.join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof RuntimeException cause ? cause : e;
    }
  }
}
