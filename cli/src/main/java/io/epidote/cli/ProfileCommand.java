package io.epidote.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.epidote.cli.StepShape.Use;
import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.cost.CostFit;
import io.epidote.engine.cost.CostFit.Measured;
import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.ExpertReads;
import io.epidote.engine.cost.StageCost;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.model.Decoder;
import io.epidote.engine.model.Models;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import io.epidote.engine.model.VisionEncoder;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "profile",
    description = {
      "Measures steps of a model on this machine and fits the cost model to them: for each stage,",
      "non-negative least squares on its roofline terms. Says how far predictions are off for shapes",
      "that were not fitted (mape), and for larger ones than any (extrapolated), and writes a profile",
      "that emulated nodes take. With --self-check it measures the emulation itself instead."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote profile --model smollm2-135m --precision int8 --threads 2 --out /tmp/mine.json",
      "  epidote up --engine emulated --profile /tmp/mine.json",
      "  epidote profile --self-check --json"
    })
final class ProfileCommand implements Callable<Integer> {
  /** Of KV blocks to measure with. */
  private static final long KV_BYTES = 768L << 20;

  /** Rounds in which code is compiled. */
  private static final int WARM_UP = 3;

  @Option(
      names = "--model",
      paramLabel = "DIR|SHAPE",
      description =
          "A model folder, or a shape with random weights: smollm2-135m, smolvlm-256m, moe-576x12x16. Default: the model that ships.")
  private String model = ModelOptions.DEFAULT.toString();

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
  private int threads = 1;

  @Option(
      names = "--rounds",
      paramLabel = "N",
      description =
          "Measurements of each shape, of which the median counts. Default: ${DEFAULT-VALUE}.")
  private int rounds = 7;

  @Option(names = "--out", paramLabel = "FILE", description = "Write the profile here.")
  private @Nullable Path out;

  @Option(
      names = "--self-check",
      description =
          "Measure how far emulated steps are off their profile with thousands of requests under way.")
  private boolean selfCheck;

  @Option(
      names = "--requests",
      paramLabel = "N",
      description = "Requests at a time of --self-check. Default: ${DEFAULT-VALUE}.")
  private int requests = 2000;

  @Option(
      names = "--time-scale",
      paramLabel = "N",
      description =
          "How many times faster than the clock the devices of --self-check are; two cores keep up with some ten thousand tokens a second. Default: ${DEFAULT-VALUE}.")
  private double timeScale = 0.25;

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    if (rounds < 1 || threads < 1 || requests < 1) {
      throw new InvalidRequest("--rounds, --threads and --requests must be at least 1");
    }
    Report report;
    try (Progress progress = new Progress()) {
      report =
          selfCheck ? new EmulationCheck(requests, timeScale).run(progress) : measure(progress);
    }
    if (json) {
      report.print(System.out);
    } else {
      report.printTable(System.out);
    }
    return 0;
  }

  private Report measure(Progress progress) {
    try (Checkpoint checkpoint = Checkpoint.open(Home.modelOrShape(model, progress))) {
      ModelConfig config = checkpoint.config();
      progress.update("loading");
      Models models =
          new Models(checkpoint, new RuntimeOptions(threads, precision, Home.cache(), true));
      try (Decoder decoder = models.openDecoder()) {
        List<VisionEncoder> encoder =
            config.vision().map(_ -> models.openVision()).stream().toList();
        try {
          return measure(config, decoder, encoder, progress);
        } finally {
          encoder.forEach(VisionEncoder::close);
        }
      }
    }
  }

  private Report measure(
      ModelConfig config, Decoder decoder, List<VisionEncoder> encoder, Progress progress) {
    int maxBlocks = (int) (KV_BYTES / decoder.shape().kvBlockBytes());
    List<StepShape> shapes =
        StepShape.all(
            decoder.shape().contextTokens(),
            maxBlocks,
            encoder.stream().mapToInt(VisionEncoder::maxBatch).findFirst().orElse(0));
    int blocks = shapes.stream().mapToInt(StepShape::blocks).max().orElse(1);
    int tileFloats =
        config.vision().map(vision -> 3 * vision.imageSize() * vision.imageSize()).orElse(0);
    try (StepBench bench =
        new StepBench(
            decoder, new ExpertReads(config.text()), encoder, tileFloats, threads, blocks)) {
      for (int round = -WARM_UP; round < rounds; round++) {
        progress.update(round < 0 ? "warming up" : "round %d of %d".formatted(round + 1, rounds));
        if (round == 0) {
          bench.forget();
        }
        bench.round(shapes);
      }
      return report(shapes, bench);
    }
  }

  private Report report(List<StepShape> shapes, StepBench bench) {
    Report report = new Report("profile");
    Map<CostStage, StageCost> costs = new LinkedHashMap<>();
    for (CostStage stage : CostStage.values()) {
      List<Measured> fitted = measured(shapes, bench, stage, Use.FITTED);
      if (!fitted.isEmpty()) {
        costs.put(stage, CostFit.fit(stage, fitted));
      }
    }
    for (Use use : List.of(Use.HELD_OUT, Use.EXTRAPOLATED, Use.FITTED)) {
      String name = "mape" + (use == Use.HELD_OUT ? "" : "_" + word(use));
      double sum = 0;
      int count = 0;
      for (Map.Entry<CostStage, StageCost> cost : costs.entrySet()) {
        List<Measured> steps = measured(shapes, bench, cost.getKey(), use);
        double mape = CostFit.mape(cost.getValue(), steps);
        if (!steps.isEmpty()) {
          report.figure(name + "_" + word(cost.getKey()), Report.rounded(mape));
          sum += mape * steps.size();
          count += steps.size();
        }
      }
      if (count > 0) {
        report.figure(name, Report.rounded(sum / count));
      }
    }
    costs
        .values()
        .forEach(
            cost -> cost.byName().forEach((term, ms) -> report.figure(term, Report.rounded(ms))));
    costs.forEach((stage, cost) ->
        shapes.stream()
            .filter(shape -> shape.stage() == stage)
            .forEach(shape -> report.row(row(shape, bench.measured(shape), cost))));
    if (out != null) {
      write(out, costs);
    }
    return report;
  }

  private static Map<String, Object> row(StepShape shape, Measured step, StageCost cost) {
    Map<String, Object> row = new LinkedHashMap<>();
    row.put("stage", word(shape.stage()));
    row.put("use", word(shape.use()));
    row.put("sequences", shape.sequences());
    row.put("tokens", shape.tokens());
    row.put("past", shape.past());
    row.put("measured_ms", Report.rounded(step.ms()));
    row.put("predicted_ms", Report.rounded(cost.ms(step.work())));
    return row;
  }

  private static List<Measured> measured(
      List<StepShape> shapes, StepBench bench, CostStage stage, Use use) {
    return shapes.stream()
        .filter(shape -> shape.stage() == stage && shape.use() == use)
        .map(bench::measured)
        .toList();
  }

  private static String word(Enum<?> value) {
    return value.name().toLowerCase(Locale.ROOT);
  }

  private void write(Path file, Map<CostStage, StageCost> costs) {
    Map<String, Double> terms = new LinkedHashMap<>();
    costs
        .values()
        .forEach(cost -> cost.byName().forEach((term, ms) -> terms.put(term, Report.rounded(ms))));
    Map<String, Object> root = new LinkedHashMap<>();
    root.put(
        "about",
        "%s at %s with %d threads, measured by 'epidote profile'"
            .formatted(Path.of(model).getFileName(), precision.word(), threads));
    root.put("costs", terms);
    try {
      Files.writeString(
          file,
          new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(root)
              + "\n");
    } catch (IOException e) {
      throw new UncheckedIOException("The profile cannot be written to " + file, e);
    }
    System.err.println("epidote: wrote " + file);
  }
}
