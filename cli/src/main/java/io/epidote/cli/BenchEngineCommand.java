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
        Report report = report(bench, config);
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
    bench.sample("read_bandwidth_gb_s", limits.readGigabytes());
    for (int prompt : PROMPTS) {
      if (prompt < config.text().contextTokens()) {
        bench.prefill("prefill_%d_tok_s".formatted(prompt), prompt);
      }
    }
    for (int context : CONTEXTS) {
      for (int batch : BATCHES) {
        if (batch <= largestBatch
            && context <= longestContext
            && context + 16 <= config.text().contextTokens()) {
          bench.decode(decodeName(context, batch), context, batch, batch == 1 ? 32 : 8);
        }
      }
    }
    encoder.ifPresent(
        model -> bench.encode("encode_tile_ms", model, config.vision().orElseThrow()));
  }

  private static String decodeName(int context, int batch) {
    return "decode_ctx%d_b%d_tok_s".formatted(context, batch);
  }

  private static Report report(EngineBench bench, ModelConfig config) {
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
          String prefix = "decode_ctx%d_b%d_".formatted(context, batch);
          if (batch == 1 && config.text().moe().isEmpty()) {
            report.figure(
                prefix + "of_read_bandwidth",
                Report.rounded(speed * bench.weightBytesPerStep() / 1e9 / bandwidth));
          }
          // The roofline of a step: every weight once, and every sequence's keys and values once.
          if (config.text().moe().isEmpty()) {
            double bytes = bench.weightBytesPerStep() + batch * bench.kvBytes(context);
            report.figure(
                prefix + "bytes_of_read_bandwidth",
                Report.rounded(speed / batch * bytes / 1e9 / bandwidth));
          }
        }
      }
    }
    for (int batch : BATCHES) {
      String near = decodeName(CONTEXTS.getFirst(), batch);
      String far = decodeName(CONTEXTS.getLast(), batch);
      if (bench.has(near) && bench.has(far)) {
        double extraSeconds = batch / bench.median(far) - batch / bench.median(near);
        double extraBytes =
            batch * (bench.kvBytes(CONTEXTS.getLast()) - bench.kvBytes(CONTEXTS.getFirst()));
        // 1 when the longer context costs exactly the reading of its keys and values.
        report.figure(
            "decode_ctx2048_b%d_extra_time_of_kv_read".formatted(batch),
            Report.rounded(extraSeconds * bandwidth * 1e9 / extraBytes));
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
