package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.MoeConfig;
import io.epidote.engine.checkpoint.RandomAdapter;
import io.epidote.engine.checkpoint.TextConfig;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.kernel.ExpertShape;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.DecoderShape;
import io.epidote.engine.model.LoadedAdapter;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.ToDoubleFunction;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
    name = "adapters",
    description = {
      "Measures what ESFT adapters cost beside their base, without network: memory, steps over prompts (ttft) and",
      "over answers (tpot) of 1, 5 and 20 adapters against the base alone, and 8 adapters on one base against 8",
      "merged models on the same cores. Medians of interleaved rounds.",
      "Then a trace of requests over 100 adapters, frequent and rare ones by Zipf's law, of which 25, 50 and 75 are",
      "hot: switches and latencies beside plain LRU in the order of arrival, in the same engine.",
      "With --only churn, loads and unloads adapters in a loop while clients of a prefill and a",
      "decode process stream: what fails, what a token takes (tpot, p99) beside phases without loading,",
      "and slots that are not given back."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote bench adapters --precision int8 --json",
      "  epidote bench adapters --only churn --seconds 300"
    })
final class BenchAdaptersCommand implements Callable<Integer> {
  private static final List<Integer> COUNTS = List.of(1, 5, 20);
  private static final int ADAPTERS = 20;

  /** Of a step: each adapter has one. */
  private static final int SEQUENCES = 20;

  private static final int PROMPT_TOKENS = 26;

  /** Pairs of decode steps of a round, for one of steps over prompts. */
  private static final int STEPS = 5;

  /** The same for the map, whose cost is less than what steps differ by. */
  private static final int MAP_STEPS = 25;

  private static final int MERGED = 8;
  private static final int MERGED_SEQUENCES = 16;

  private static final int CHURN_CLIENTS = 4;
  private static final int CHURN_TOKENS = 64;
  private static final int CHURN_PHASE_SECONDS = 15;

  /** Beside the merged models, in their memory limit. */
  private static final double ROOM = 0.05;

  @Option(
      names = "--model",
      paramLabel = "DIR|SHAPE",
      description =
          "A text model of Mixtral's form, or a shape with random weights. Default: ${DEFAULT-VALUE}.")
  private String model = "moe-576x12x16";

  @Option(
      names = "--precision",
      paramLabel = "P",
      converter = PrecisionConverter.class,
      description = "fp32 or int8. Default: int8.")
  private Precision precision = Precision.INT8;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads of the model. Default: ${DEFAULT-VALUE}.")
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = "--experts",
      paramLabel = "N",
      description =
          "Experts of its own that an adapter has in each layer. Default: ${DEFAULT-VALUE}.")
  private int experts = 2;

  @Option(
      names = "--rounds",
      paramLabel = "N",
      description = "Measurements of each figure. Default: ${DEFAULT-VALUE}.")
  private int rounds = 15;

  @Option(
      names = "--only",
      paramLabel = "PART",
      description = "One part of it: overhead, trace or churn. Default: overhead and trace.")
  private String only = "";

  @Option(
      names = "--seconds",
      paramLabel = "N",
      description =
          "How long adapters come and go, half of it in phases without. Default: ${DEFAULT-VALUE}.")
  private int seconds = 60;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Mixin private AdapterTrace trace = new AdapterTrace();

  private final Samples samples = new Samples();
  private boolean baseFirst;

  @Override
  public Integer call() throws InterruptedException {
    if (rounds < 1 || threads < 1 || seconds < 1) {
      throw new InvalidRequest("--rounds, --threads and --seconds must be at least 1");
    }
    if (!List.of("", "overhead", "trace", "churn").contains(only)) {
      throw new InvalidRequest(
          "--only %s is no part; expected overhead, trace or churn".formatted(only));
    }
    if (only.equals("churn")) {
      churn();
      return 0;
    }
    Report report = new Report("bench adapters");
    try (Progress progress = new Progress()) {
      if (!only.equals("trace")) {
        measureOverhead(report, progress);
      }
      if (!only.equals("overhead")) {
        trace.run(threads, precision, report, progress);
      }
    }
    print(report);
    return 0;
  }

  private void measureOverhead(Report report, Progress progress) {
    try (Checkpoint checkpoint = Checkpoint.open(Home.modelOrShape(model, progress))) {
      TextConfig text = checkpoint.config().text();
      MoeConfig moe =
          text.moe()
              .filter(each -> experts >= 1 && experts <= each.experts())
              .orElseThrow(() ->
                  new InvalidRequest(
                      "--model must have experts, and --experts not more of them; try moe-576x12x16"));
      List<Path> folders = new ArrayList<>();
      for (int i = 0; i < ADAPTERS; i++) {
        progress.update("adapter %d of %d".formatted(i + 1, ADAPTERS));
        folders.add(
            RandomAdapter.folder(
                Home.cache().resolve("adapters-of-shapes"), checkpoint, experts, i));
      }
      // The base's weights once more: the same experts run, so that the map is the difference.
      Path whole = RandomAdapter.copy(Home.cache().resolve("adapters-of-shapes"), checkpoint);
      Models models =
          new Models(checkpoint, new RuntimeOptions(threads, precision, Home.cache(), true));
      progress.update("loading");
      try (Decoder decoder = models.openDecoder()) {
        measure(decoder, folders, whole, text, moe, report, progress);
      }
    }
  }

  private void churn() throws InterruptedException {
    try (Progress progress = new Progress()) {
      ClusterOptions options = new ClusterOptions().onAnyPort();
      options.model.folder = Home.modelOrShape(model, progress);
      options.node.precisions = StagePrecisions.all(precision);
      // A core is left for those who load and ask, as on a machine that is not full.
      options.node.threads = Math.max(1, threads / 2);
      Path own = Home.cache().resolve("adapters-of-shapes");
      options.node.roots.folders.add(own);
      List<Path> folders = new ArrayList<>();
      try (Checkpoint checkpoint = Checkpoint.open(options.model.folder)) {
        for (int i = 0; i < 3; i++) {
          folders.add(RandomAdapter.folder(own, checkpoint, experts, i));
        }
      }
      int phases = 2 * Math.max(1, seconds / (2 * CHURN_PHASE_SECONDS));
      try (Cluster cluster = ProcessCluster.start(options, NodeSpec.parseList("P,D"), progress)) {
        String name = options.model.folder.getFileName().toString();
        ChurnBench.Result result =
            new ChurnBench(cluster, name, folders, CHURN_CLIENTS, CHURN_TOKENS)
                .run(Duration.ofMillis(1000L * seconds / phases), phases, progress);
        result.failures().stream().distinct().limit(5).forEach(System.err::println);
        Report report = new Report("bench adapters");
        double calm = ChurnBench.Result.percentile(result.quiet(), 99);
        double busy = ChurnBench.Result.percentile(result.loading(), 99);
        report
            .figure("churn_seconds", seconds)
            .figure("churn_loads", result.loads())
            .figure(
                "churn_load_p50_ms",
                Report.rounded(ChurnBench.Result.percentile(result.loadMillis(), 50)))
            .figure("churn_requests", result.quiet().size() + result.loading().size())
            .figure("churn_failed_requests", result.failures().size())
            .figure(
                "churn_tpot_p50_quiet_ms",
                Report.rounded(ChurnBench.Result.percentile(result.quiet(), 50)))
            .figure(
                "churn_tpot_p50_ms",
                Report.rounded(ChurnBench.Result.percentile(result.loading(), 50)))
            .figure("churn_tpot_p99_quiet_ms", Report.rounded(calm))
            .figure("churn_tpot_p99_ms", Report.rounded(busy))
            .figure("churn_tpot_p99_ratio", Report.rounded(busy / calm))
            .figure("churn_slots_leaked", result.slotsLeaked());
        print(report);
      }
    }
  }

  private void print(Report report) {
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
  }

  private void measure(
      Decoder decoder,
      List<Path> folders,
      Path whole,
      TextConfig text,
      MoeConfig moe,
      Report report,
      Progress progress) {
    AdapterBench bench = new AdapterBench(decoder, SEQUENCES);
    List<Optional<LoadedAdapter>> base = List.of(Optional.empty());
    // As a node that has served: the base's pages are here.
    bench.prefillMs(SEQUENCES, PROMPT_TOKENS, base);
    // Packed by then, so that what follows is what stays.
    for (int i = 0; i < folders.size(); i++) {
      progress.update("packing adapter %d of %d".formatted(i + 1, folders.size()));
      decoder.adapters().check("a" + i, folders.get(i), false);
    }
    List<Optional<LoadedAdapter>> adapters = new ArrayList<>();
    for (int i = 0; i < folders.size(); i++) {
      decoder.adapters().load("a" + i, folders.get(i), false);
      adapters.add(Optional.of(decoder.adapters().take("a" + i)));
    }
    // Mapped whole and read in when they are loaded.
    long resident = decoder.adapters().list().stream().mapToLong(LoadedAdapter::bytes).sum();
    decoder.adapters().load("whole", whole, false);
    Optional<LoadedAdapter> all = Optional.of(decoder.adapters().take("whole"));
    for (int round = -2; round < rounds; round++) {
      progress.update("round %d of %d".formatted(Math.max(1, round + 1), rounds));
      if (round == 0) {
        samples.forget();
      }
      for (int count : COUNTS) {
        sample(Integer.toString(count), STEPS, bench, base, adapters.subList(0, count));
      }
      sample("map", MAP_STEPS, bench, base, List.of(all));
      bench.change();
      samples.add("shared", bench.decodeMs(MERGED_SEQUENCES, adapters.subList(0, MERGED)));
      // Merged models have each their own weights to read; the base's stand for all of them.
      double merged = 0;
      for (int i = 0; i < MERGED; i++) {
        bench.change();
        merged += bench.decodeMs(MERGED_SEQUENCES / MERGED, base);
      }
      samples.add("merged", merged);
    }
    tell(report, decoder, resident, folders.size() * exactBytes(text, moe));
  }

  /** Each step with adapters beside one without, as the machine's speed changes in between. */
  private void sample(
      String name,
      int steps,
      AdapterBench bench,
      List<Optional<LoadedAdapter>> base,
      List<Optional<LoadedAdapter>> adapters) {
    for (int i = 0; i < steps; i++) {
      if (i % STEPS == 0) {
        pair("ttft", name, base, adapters, each -> bench.prefillMs(SEQUENCES, PROMPT_TOKENS, each));
      }
      bench.change();
      pair("tpot", name, base, adapters, each -> bench.decodeMs(SEQUENCES, each));
    }
  }

  private void pair(
      String kind,
      String name,
      List<Optional<LoadedAdapter>> base,
      List<Optional<LoadedAdapter>> adapters,
      ToDoubleFunction<List<Optional<LoadedAdapter>>> step) {
    baseFirst = !baseFirst;
    double first = step.applyAsDouble(baseFirst ? base : adapters);
    double second = step.applyAsDouble(baseFirst ? adapters : base);
    samples.add(kind + "_base", baseFirst ? first : second);
    samples.add("%s_over_%s".formatted(kind, name), baseFirst ? second / first : first / second);
  }

  /** What an adapter's experts take as they are, packed but without any padding. */
  private long exactBytes(TextConfig text, MoeConfig moe) {
    ExpertShape shape =
        new ExpertShape(
            text.hiddenSize(), moe.expertIntermediateSize(), moe.experts(), moe.expertsPerToken());
    boolean bytes = precision == Precision.INT8;
    return (long) text.layers()
        * experts
        * (shape.gateUp(bytes).bytes() + shape.down(bytes).bytes());
  }

  private void tell(Report report, Decoder decoder, long resident, long exact) {
    long base = decoder.weightBytes();
    report.figure("base_bytes", base);
    report.figure("adapter_bytes", exact / ADAPTERS);
    report.figure(
        "resident_over_exact", Report.rounded((double) (base + resident) / (base + exact)));
    for (String kind : List.of("ttft", "tpot")) {
      report.figure(kind + "_base_ms", Report.rounded(samples.median(kind + "_base")));
      for (int count : COUNTS) {
        report.figure("%s_overhead_%d".formatted(kind, count), overhead(kind, "" + count));
      }
    }
    report.figure("map_overhead", overhead("tpot", "map"));
    report.figure("map_overhead_prefill", overhead("ttft", "map"));
    report.figure(
        "throughput_over_merged",
        Report.rounded(samples.median("merged") / samples.median("shared")));
    double tokenBytes = (double) decoder.shape().kvBlockBytes() / DecoderShape.BLOCK_TOKENS;
    double limit = MERGED * base * (1 + ROOM);
    double mergedTokens = (limit - (double) MERGED * base) / tokenBytes;
    double tokens = (limit - base - MERGED * (double) exact / ADAPTERS) / tokenBytes;
    report.figure("memory_limit_bytes", (long) limit);
    report.figure("kv_tokens", (long) tokens);
    report.figure("kv_tokens_merged", (long) mergedTokens);
    report.figure("kv_tokens_over_merged", Report.rounded(tokens / mergedTokens));
  }

  private double overhead(String kind, String name) {
    return Report.rounded(samples.median("%s_over_%s".formatted(kind, name)) - 1);
  }
}
