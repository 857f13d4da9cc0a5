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
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
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
      "hot: switches and latencies beside plain LRU in the order of arrival, in the same engine."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {"  epidote bench adapters --precision int8 --json"})
final class BenchAdaptersCommand implements Callable<Integer> {
  private static final List<Integer> COUNTS = List.of(1, 5, 20);
  private static final int ADAPTERS = 20;

  /** Of a step: each adapter has one. */
  private static final int SEQUENCES = 20;

  private static final int PROMPT_TOKENS = 26;
  private static final int MERGED = 8;
  private static final int MERGED_SEQUENCES = 16;

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

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Option(names = "--only", paramLabel = "PART", description = "One part of it: overhead or trace.")
  private @Nullable String only;

  @Mixin private AdapterTrace trace = new AdapterTrace();

  private final Samples samples = new Samples();

  @Override
  public Integer call() {
    if (rounds < 1 || threads < 1) {
      throw new InvalidRequest("--rounds and --threads must be at least 1");
    }
    if (only != null && !List.of("overhead", "trace").contains(only)) {
      throw new InvalidRequest("--only %s is no part; expected overhead or trace".formatted(only));
    }
    Report report = new Report("bench adapters");
    try (Progress progress = new Progress()) {
      if (!"trace".equals(only)) {
        measureOverhead(report, progress);
      }
      if (!"overhead".equals(only)) {
        trace.run(threads, precision, report, progress);
      }
    }
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
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
      // All of a layer: as many experts run as for the base, so that the map is the difference.
      Path whole =
          RandomAdapter.folder(
              Home.cache().resolve("adapters-of-shapes"), checkpoint, moe.experts(), 0);
      Models models =
          new Models(checkpoint, new RuntimeOptions(threads, precision, Home.cache(), true));
      progress.update("loading");
      try (Decoder decoder = models.openDecoder()) {
        measure(decoder, folders, whole, text, moe, report, progress);
      }
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
      sample("base", bench, base);
      for (int count : COUNTS) {
        sample(Integer.toString(count), bench, adapters.subList(0, count));
      }
      sample("map", bench, List.of(all));
      samples.add("shared", bench.decodeMs(MERGED_SEQUENCES, adapters.subList(0, MERGED)));
      // Merged models have each their own weights to read; the base's stand for all of them.
      double merged = 0;
      for (int i = 0; i < MERGED; i++) {
        merged += bench.decodeMs(MERGED_SEQUENCES / MERGED, base);
      }
      samples.add("merged", merged);
    }
    tell(report, decoder, resident, folders.size() * exactBytes(text, moe));
  }

  private void sample(String name, AdapterBench bench, List<Optional<LoadedAdapter>> adapters) {
    samples.add("ttft_" + name, bench.prefillMs(SEQUENCES, PROMPT_TOKENS, adapters));
    for (int i = 0; i < 3; i++) {
      samples.add("tpot_" + name, bench.decodeMs(SEQUENCES, adapters));
    }
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
    return Report.rounded(samples.median(kind + "_" + name) / samples.median(kind + "_base") - 1);
  }
}
