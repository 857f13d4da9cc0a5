package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.engine.model.VisionEncoder;
import io.epidote.node.ResidentMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "engine",
    description = {
      "Measures a model without network: prefill, decode at several batch sizes and contexts, encode,",
      "and beside them what the machine could do at best. Medians of interleaved rounds."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote bench engine --model smollm2-135m --precision int8 --threads 2 --json",
      "  epidote bench engine --model models/scenes"
    })
final class BenchEngineCommand implements Callable<Integer> {
  private static final List<Integer> PROMPTS = List.of(128, 512);
  private static final List<Integer> CONTEXTS = List.of(256, 2048);
  private static final List<Integer> BATCHES = List.of(1, 4, 16, 64);

  @Option(
      names = "--model",
      required = true,
      paramLabel = "DIR|SHAPE",
      description =
          "A model folder, or a shape with random weights: smollm2-135m, smolvlm-256m, moe-576x12x16.")
  private String model = "";

  @Option(
      names = "--precision",
      paramLabel = "P",
      converter = PrecisionConverter.class,
      description = "fp32, int8 or int4. Default: ${DEFAULT-VALUE}.")
  private Precision precision = Precision.FP32;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads of the model. Default: ${DEFAULT-VALUE}.")
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(
      names = "--rounds",
      paramLabel = "N",
      description = "Measurements of each figure. Default: ${DEFAULT-VALUE}.")
  private int rounds = 5;

  @Option(
      names = "--chunk",
      paramLabel = "N",
      description = "Tokens of a prompt to run at a time. Default: ${DEFAULT-VALUE}.")
  private int chunk = 128;

  @Option(
      names = "--batch",
      paramLabel = "N",
      description = "Largest batch to decode. Default: ${DEFAULT-VALUE}.")
  private int largestBatch = 64;

  @Option(
      names = "--context",
      paramLabel = "N",
      description = "Longest context to decode at. Default: ${DEFAULT-VALUE}.")
  private int longestContext = 2048;

  @Option(names = "--no-prepack", description = "As for a node.")
  private boolean noPrepack;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    if (rounds < 1 || threads < 1 || chunk < 1) {
      throw new InvalidRequest("--rounds, --threads and --chunk must be at least 1");
    }
    try (Progress progress = new Progress();
        Checkpoint checkpoint = Checkpoint.open(Home.modelOrShape(model, progress))) {
      Models models =
          new Models(checkpoint, new RuntimeOptions(threads, precision, Home.cache(), !noPrepack));
      progress.update("loading");
      ModelConfig config = checkpoint.config();
      try (Decoder decoder = models.openDecoder();
          MachineLimits limits = new MachineLimits(threads)) {
        Optional<VisionEncoder> encoder = config.vision().map(_ -> models.openVision());
        EngineBench bench =
            new EngineBench(
                config,
                precision,
                decoder,
                chunk,
                largestBatch,
                Math.min(longestContext, config.text().contextTokens() - 16));
        // As a node that has served for some seconds: the JVM compiles what is around the kernels.
        progress.update("warming up");
        round(bench, limits, config, encoder);
        bench.forget();
        for (int round = 0; round < rounds; round++) {
          progress.update("round %d of %d".formatted(round + 1, rounds));
          round(bench, limits, config, encoder);
        }
        Report report = report(bench);
        encoder.ifPresent(VisionEncoder::close);
        print(report);
      }
    }
    return 0;
  }

  private void round(
      EngineBench bench,
      MachineLimits limits,
      ModelConfig config,
      Optional<VisionEncoder> encoder) {
    bench.sample("fma_peak_gflop_s", limits.fmaGflops());
    for (int prompt : PROMPTS) {
      if (prompt < config.text().contextTokens()) {
        bench.prefill("prefill_%d_tok_s".formatted(prompt), prompt);
      }
    }
    for (int batch : BATCHES) {
      if (batch <= largestBatch) {
        decode(bench, limits, config, batch);
      }
    }
    encoder.ifPresent(
        model -> bench.encode("encode_tile_ms", model, config.vision().orElseThrow()));
  }

  /**
   * Steps of a batch at each context. What memory gives changes within a second where others share
   * it, so that it is read right before and after, and a round has its own ratios.
   */
  private void decode(EngineBench bench, MachineLimits limits, ModelConfig config, int batch) {
    int steps = batch == 1 ? 32 : 8;
    List<Double> seconds = new ArrayList<>();
    for (int context : CONTEXTS) {
      if (context > longestContext || context + 16 > config.text().contextTokens()) {
        continue;
      }
      double before = limits.readGigabytes();
      double speed = bench.decode(decodeName(context, batch), context, batch, steps);
      double bandwidth = (before + limits.readGigabytes()) / 2;
      bench.sample("read_bandwidth_gb_s", bandwidth);
      if (config.text().moe().isPresent()) {
        continue;
      }
      seconds.add(batch / speed);
      if (context == CONTEXTS.getLast() && seconds.size() == CONTEXTS.size()) {
        double more = bench.kvBytes(context) - bench.kvBytes(CONTEXTS.getFirst());
        bench.sample(
            extraName(batch),
            (seconds.getLast() - seconds.getFirst()) * bandwidth * 1e9 / (batch * more));
      }
      // The roofline of a step: every weight once, and every sequence's keys and values once.
      double weights = bench.weightBytesPerStep();
      double bytes = weights + batch * bench.kvBytes(context);
      double stepsPerByte = speed / batch / 1e9 / bandwidth;
      if (batch == 1) {
        bench.sample(decodePrefix(context, batch) + "of_read_bandwidth", stepsPerByte * weights);
      }
      bench.sample(decodePrefix(context, batch) + "bytes_of_read_bandwidth", stepsPerByte * bytes);
    }
  }

  /** 1 when the longer context costs exactly the reading of its keys and values. */
  private static String extraName(int batch) {
    return "decode_ctx%d_b%d_extra_time_of_kv_read".formatted(CONTEXTS.getLast(), batch);
  }

  private static String decodePrefix(int context, int batch) {
    return "decode_ctx%d_b%d_".formatted(context, batch);
  }

  private static String decodeName(int context, int batch) {
    return decodePrefix(context, batch) + "tok_s";
  }

  private static Report report(EngineBench bench) {
    double peak = bench.median("fma_peak_gflop_s");
    double bandwidth = bench.median("read_bandwidth_gb_s");
    Report report =
        new Report("bench engine")
            .figure("fma_peak_gflop_s", Report.rounded(peak))
            .figure("read_bandwidth_gb_s", Report.rounded(bandwidth));
    for (int prompt : PROMPTS) {
      String name = "prefill_%d_tok_s".formatted(prompt);
      if (bench.has(name)) {
        double speed = bench.median(name);
        report
            .figure(name, Report.rounded(speed))
            .figure(
                "prefill_%d_of_fma_peak".formatted(prompt),
                Report.rounded(speed * bench.prefillFlops(prompt) / 1e9 / peak));
      }
    }
    for (int context : CONTEXTS) {
      for (int batch : BATCHES) {
        String name = decodeName(context, batch);
        if (bench.has(name)) {
          double speed = bench.median(name);
          report.figure(name, Report.rounded(speed));
          for (String ratio : List.of("of_read_bandwidth", "bytes_of_read_bandwidth")) {
            String of = decodePrefix(context, batch) + ratio;
            if (bench.has(of)) {
              report.figure(of, Report.rounded(bench.median(of)));
            }
          }
        }
      }
    }
    for (int batch : BATCHES) {
      if (bench.has(extraName(batch))) {
        report.figure(extraName(batch), Report.rounded(bench.median(extraName(batch))));
      }
    }
    if (bench.has("encode_tile_ms")) {
      report.figure("encode_tile_ms", Report.rounded(bench.median("encode_tile_ms")));
    }
    return report.figure("rss_mib", ResidentMemory.bytes() >> 20);
  }

  private void print(Report report) {
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
  }
}
