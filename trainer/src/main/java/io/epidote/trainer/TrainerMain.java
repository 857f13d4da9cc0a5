package io.epidote.trainer;

import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.TaskKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * The command line of the trainer: {@code train}, {@code refine}, {@code export}, {@code evaluate},
 * {@code curve}, and for adapters {@code adapter}, {@code evaluate-adapter}, {@code classifier},
 * {@code evaluate-classifier}; see docs/scenes.md.
 */
public final class TrainerMain {
  private TrainerMain() {}

  /** Runs one command; options are {@code --name value}. */
  public static void main(String[] args) throws IOException, InterruptedException {
    if (args.length == 0 || args.length % 2 == 0) {
      throw new IllegalArgumentException(
          "expected: train|refine|export|spread|evaluate|curve|adapter|evaluate-adapter|classifier|evaluate-classifier [--name value]...; docs/scenes.md has the commands");
    }
    Map<String, String> options = new HashMap<>();
    for (int i = 1; i < args.length; i += 2) {
      options.put(args[i], args[i + 1]);
    }
    ModelConfig config = ModelConfig.scenes();
    Path saved = Path.of(options.getOrDefault("--state", "target/training/state.safetensors"));
    switch (args[0]) {
      case "train" -> {
        Files.createDirectories(saved.toAbsolutePath().getParent());
        Path from = Path.of(options.getOrDefault("--from", saved.toString()));
        TrainingState state =
            Files.exists(from)
                ? saved(from)
                : TrainingState.fresh(ModelConfig.coarse(), number(options, "--init-seed", 7));
        Stage stage = Stage.parse(options.getOrDefault("--stage", "tower"));
        new Training(
                state,
                new Training.Plan(
                    stage,
                    Boolean.parseBoolean(options.getOrDefault("--freeze-tower", "false")),
                    schedule(options, 1000, 1e-3),
                    number(options, "--workers", 2),
                    number(options, "--seed", 1 + stage.ordinal()),
                    number(options, "--evaluate-every", 250),
                    number(options, "--evaluation-count", 60),
                    Path.of(options.getOrDefault("--log", "target/training/log.txt")),
                    saved))
            .run();
      }
      case "adapter" -> {
        AnswerForm form = form(options);
        Path state =
            Path.of(
                options.getOrDefault(
                    "--state", "target/training/adapter-" + form.word() + ".safetensors"));
        Files.createDirectories(state.toAbsolutePath().getParent());
        Path base = Path.of(options.getOrDefault("--base", "models/scenes"));
        new AdapterTraining(
                config,
                new Checkpoint(config).load(Safetensors.read(base.resolve("model.safetensors"))),
                new AdapterTraining.Plan(
                    form,
                    decimal(options, "--p", 0.2),
                    schedule(options, 1500, 1e-3),
                    number(options, "--workers", 2),
                    number(options, "--seed", 100 + form.ordinal()),
                    number(options, "--evaluate-every", 250),
                    number(options, "--evaluation-count", 300),
                    Path.of(options.getOrDefault("--log", "target/training/adapters.txt")),
                    state,
                    Path.of(options.getOrDefault("--folder", "models/scenes-adapters"))
                        .resolve(form.word())))
            .run();
      }
      case "refine" -> {
        TrainingState coarse =
            options.containsKey("--folder")
                ? TrainingState.ofFolder(ModelConfig.coarse(), Path.of(options.get("--folder")))
                : saved(saved);
        coarse.finer(4).save(saved);
      }
      case "spread" -> SpareRows.spread(Path.of(options.getOrDefault("--folder", "models/scenes")));
      case "classifier" ->
          ClassifierTraining.run(
              Path.of(options.getOrDefault("--file", "models/scenes-adapters/router.json")));
      case "evaluate-classifier" ->
          ClassifierTraining.evaluate(
              Path.of(options.getOrDefault("--file", "models/scenes-adapters/router.json")),
              number(options, "--seed", 7),
              number(options, "--count", 500));
      case "evaluate-adapter" -> evaluateAdapter(options);
      case "export" ->
          saved(saved).export(Path.of(options.getOrDefault("--folder", "models/scenes")));
      case "evaluate" -> {
        Path folder = Path.of(options.getOrDefault("--folder", "models/scenes"));
        boolean shuffled = Boolean.parseBoolean(options.getOrDefault("--shuffled", "false"));
        try (ReferenceModel model = new ReferenceModel(folder)) {
          Evaluation evaluation =
              Evaluation.ofKinds(
                  model.config(),
                  new Vocabulary(),
                  List.of(TaskKind.values()),
                  number(options, "--count", 500),
                  number(options, "--seed", 7),
                  shuffled);
          evaluation.run(model::predict).forEach(TrainerMain::print);
        }
      }
      case "curve" -> {
        Path log = Path.of(options.getOrDefault("--log", "docs/scenes-training.txt"));
        TrainingCurve curve = TrainingCurve.of(Files.readAllLines(log));
        curve.write(Path.of(options.getOrDefault("--svg", "docs/scenes-training.svg")));
        System.out.print(curve.table());
      }
      default -> throw new IllegalArgumentException("unknown command " + args[0]);
    }
  }

  /** A state before or after the experts were made finer. */
  private static TrainingState saved(Path file) throws IOException {
    return TrainingState.load(file, ModelConfig.scenes(), ModelConfig.coarse());
  }

  /** Base and adapter on the adapter's own tasks. */
  private static void evaluateAdapter(Map<String, String> options) throws IOException {
    AnswerForm form = form(options);
    Path base = Path.of(options.getOrDefault("--base", "models/scenes"));
    Path adapter =
        Path.of(options.getOrDefault("--folder", "models/scenes-adapters")).resolve(form.word());
    boolean shuffled = Boolean.parseBoolean(options.getOrDefault("--shuffled", "false"));
    for (Path merged : Arrays.asList(null, adapter)) {
      try (ReferenceModel model = new ReferenceModel(base, merged)) {
        Map<String, Evaluation.Score> scores =
            Evaluation.ofForm(
                    model.config(),
                    new Vocabulary(),
                    form,
                    Vocabulary.ASSISTANT,
                    number(options, "--count", 500),
                    number(options, "--seed", 7),
                    shuffled)
                .run(model::predict);
        Evaluation.Score all =
            scores.values().stream().reduce(Evaluation.Score::plus).orElseThrow();
        System.out.printf(
            Locale.ROOT,
            "%-9s %s %6.2f %% of %d: %s%n",
            form.word(),
            merged == null ? "base   " : "adapter",
            100 * all.accuracy(),
            all.count(),
            Evaluation.format(scores));
      }
    }
  }

  private static void print(String kind, Evaluation.Score score) {
    System.out.printf(
        Locale.ROOT,
        "%-9s %6.2f %% of %d, with withheld pairs %6.2f %% of %d%n",
        kind,
        100 * score.accuracy(),
        score.count(),
        100 * score.withheldAccuracy(),
        score.withheldCount());
  }

  private static AnswerForm form(Map<String, String> options) {
    String name = options.getOrDefault("--form", "");
    return Arrays.stream(AnswerForm.values())
        .filter(f -> f.word().equals(name))
        .findFirst()
        .orElseThrow(() ->
            new IllegalArgumentException(
                "--form '" + name + "'; expected one of " + Arrays.toString(AnswerForm.values())));
  }

  private static Schedule schedule(Map<String, String> options, int steps, double rate) {
    double highest = decimal(options, "--rate", rate);
    return new Schedule(
        number(options, "--steps", steps),
        highest,
        decimal(options, "--final-rate", highest),
        number(options, "--warmup", 50));
  }

  private static double decimal(Map<String, String> options, String name, double otherwise) {
    return Double.parseDouble(options.getOrDefault(name, Double.toString(otherwise)));
  }

  private static int number(Map<String, String> options, String name, int otherwise) {
    return Integer.parseInt(options.getOrDefault(name, Integer.toString(otherwise)));
  }
}
