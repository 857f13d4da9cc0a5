package io.epidote.cli;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

@Command(
    name = "quality",
    description = {
      "Measures what a precision saves and costs: compression_rate = size_ratio * quality_ratio, with",
      "the term of quality that EfficientLLM's compression rate has. size_ratio is how many times smaller",
      "than at fp32 the weights are. On the model that ships, quality_ratio is exact / exact_fp32, the",
      "shares of exactly right greedy answers about scenes. On any other model it is exp(-kl_mean): kl_mean",
      "is the Kullback-Leibler divergence of next-token distributions from fp32's on random text, in nats."
    },
    mixinStandardHelpOptions = true,
    footerHeading = "%nExamples:%n",
    footer = {
      "  epidote bench quality --model models/scenes --precision int8 --json",
      "  epidote bench quality --model smollm2-135m --precision int4"
    })
final class BenchQualityCommand implements Callable<Integer> {
  /** What to measure quality on. */
  private enum Ground {
    SCENES,
    TEXT
  }

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
      description = "int8 or int4. Default: ${DEFAULT-VALUE}.")
  private Precision precision = Precision.INT8;

  @Option(
      names = "--on",
      paramLabel = "GROUND",
      description = "scenes or text. Default: scenes for the model that ships, text for others.")
  private @Nullable Ground ground;

  @Option(
      names = "--count",
      paramLabel = "N",
      description = "Questions, or distributions to compare. Default: ${DEFAULT-VALUE}.")
  private int count = 500;

  @Option(
      names = "--seed",
      paramLabel = "N",
      description = "Chooses questions and text. Default: ${DEFAULT-VALUE}.")
  private long seed = 7;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description = "Threads of a model. Default: ${DEFAULT-VALUE}.")
  private int threads = Runtime.getRuntime().availableProcessors();

  @Option(names = "--json", description = "Print one JSON object.")
  private boolean json;

  @Override
  public Integer call() {
    if (count < 1 || threads < 1) {
      throw new InvalidRequest("--count and --threads must be at least 1");
    }
    try (Progress progress = new Progress();
        Checkpoint checkpoint = Checkpoint.open(Home.modelOrShape(model, progress))) {
      RuntimeOptions runtime = new RuntimeOptions(threads, precision, Home.cache(), true);
      QualityBench bench = new QualityBench(checkpoint, runtime, progress);
      Report report = new Report("bench quality");
      double size = bench.sizeRatio();
      double quality = onScenes(checkpoint) ? scenes(bench, report) : text(bench, report);
      report
          .figure("count", count)
          .figure("size_ratio", Report.rounded(size))
          .figure("quality_ratio", Report.rounded(quality))
          .figure("compression_rate", Report.rounded(size * quality));
      if (json) {
        report.print(System.out);
      } else {
        report.printTable(System.out);
      }
    }
    return 0;
  }

  private boolean onScenes(Checkpoint checkpoint) {
    return ground == null
        ? checkpoint.folder().equals(Home.model("scenes").normalize())
        : ground == Ground.SCENES;
  }

  private double scenes(QualityBench bench, Report report) {
    QualityBench.Scenes scenes = bench.scenes(seed, count);
    report
        .figure("exact_fp32", Report.rounded((double) scenes.exactFp32() / count))
        .figure("exact", Report.rounded((double) scenes.exact() / count))
        .figure("same_answers", Report.rounded((double) scenes.same() / count));
    return scenes.qualityRatio();
  }

  private double text(QualityBench bench, Report report) {
    QualityBench.Text text = bench.text(seed, count);
    report
        .figure("kl_mean", Report.rounded(text.klMean()))
        .figure("kl_p99", Report.rounded(text.klP99()))
        .figure("top1_agreement", Report.rounded(text.top1Agreement()));
    return text.qualityRatio();
  }
}
