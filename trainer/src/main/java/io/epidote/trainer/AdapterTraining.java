package io.epidote.trainer;

import io.epidote.scenes.AnswerForm;
import io.epidote.trainer.Safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SortedMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;

/**
 * Trains one adapter by expert-specialised fine-tuning (arXiv 2407.01906): the experts that its own
 * data goes to most, chosen before the first step; everything else stays as it is.
 */
final class AdapterTraining {
  /**
   * What is to be done.
   *
   * @param form what the adapter answers
   * @param p share of the tokens' choices that the chosen experts of a layer must have
   * @param schedule optimizer steps and learning rates
   * @param workers threads; each draws and computes a batch of its own per step
   * @param seed of the scenes
   * @param evaluateEvery steps between held-out accuracies
   * @param evaluationCount tasks
   * @param log where lines are appended
   * @param save where the state is kept: a run that finds it there goes on from it
   * @param folder where the adapter is written at every save
   */
  record Plan(
      AnswerForm form,
      double p,
      Schedule schedule,
      int workers,
      long seed,
      int evaluateEvery,
      int evaluationCount,
      Path log,
      Path save,
      Path folder) {}

  /** Samples that the experts are chosen by. */
  private static final int SCORED = 128;

  private static final long SCORED_SEED = 77;

  private static final int SAVE_EVERY = 100;

  private final ModelConfig config;
  private final Map<String, Tensor> base;
  private final Vocabulary vocabulary = new Vocabulary();
  private final Plan plan;
  private final TrainingLog log;

  /**
   * A run.
   *
   * @param base stacked parameters, the stem folded
   */
  AdapterTraining(ModelConfig config, Map<String, Tensor> base, Plan plan) {
    this.config = config;
    this.base = base;
    this.plan = plan;
    this.log = new TrainingLog(plan.log());
  }

  /** Trains; the state is saved every hundred steps and at the end. */
  void run() throws IOException, InterruptedException {
    ExpertParameters experts = new ExpertParameters(config, choose());
    float[] flat = experts.initial(base);
    AdamW optimizer = new AdamW(new float[flat.length]);
    if (Files.exists(plan.save())) {
      load(flat, optimizer);
    }
    Evaluation evaluation =
        Evaluation.ofForm(
            config,
            vocabulary,
            plan.form(),
            Vocabulary.ASSISTANT,
            plan.evaluationCount(),
            1234,
            false);
    List<AdapterNet> nets = new ArrayList<>();
    List<BatchSource<AdapterBatches.Prepared>> sources = new ArrayList<>();
    ExecutorService pool = Executors.newFixedThreadPool(plan.workers());
    for (int i = 0; i < plan.workers(); i++) {
      nets.add(new AdapterNet(config, base, experts));
      // A run that goes on must not draw the scenes again that it has seen.
      long seed = (plan.seed() * 100 + i) * 1_000_003 + optimizer.step;
      sources.add(
          new BatchSource<>(
              new AdapterBatches(config, vocabulary, plan.form(), seed, nets.get(i)::media)));
    }
    int steps = plan.schedule().steps();
    log.line(
        "adapter %s: %d steps from %d, rate %.1e to %.1e, seed %d, %d values in experts %s"
            .formatted(
                plan.form().word(),
                steps,
                optimizer.step,
                plan.schedule().rate(),
                plan.schedule().finalRate(),
                plan.seed(),
                flat.length,
                experts.experts()));
    double loss = 0;
    double norm = 0;
    int averaged = 0;
    try {
      for (int step = (int) optimizer.step + 1; step <= steps; step++) {
        List<Future<AdapterNet.Result>> futures = new ArrayList<>();
        for (int i = 0; i < nets.size(); i++) {
          AdapterNet net = nets.get(i);
          BatchSource<AdapterBatches.Prepared> source = sources.get(i);
          futures.add(pool.submit(() -> net.gradient(flat, source.next())));
        }
        float[] gradient = new float[flat.length];
        for (Future<AdapterNet.Result> future : futures) {
          AdapterNet.Result result = Training.get(future);
          Training.checkSound(result.gradient());
          for (int j = 0; j < gradient.length; j++) {
            gradient[j] += result.gradient()[j] / nets.size();
          }
          loss += result.loss() / nets.size();
        }
        float rate = (float) plan.schedule().rate(step);
        norm += optimizer.update(flat, gradient, rate, 0, flat.length);
        averaged++;
        if (step % 25 == 0 || step == steps) {
          log.line(
              String.format(
                  Locale.ROOT,
                  "%s step %d of %d answer %.4f norm %.2f rate %.2e",
                  plan.form().word(),
                  step,
                  steps,
                  loss / averaged,
                  norm / averaged,
                  rate));
          loss = 0;
          norm = 0;
          averaged = 0;
        }
        if (step % SAVE_EVERY == 0 || step == steps) {
          save(flat, optimizer);
          AdapterFolder.write(plan.folder(), config, experts, flat);
        }
        if (step % plan.evaluateEvery() == 0 || step == steps) {
          Map<String, Evaluation.Score> scores =
              evaluation.run(batch -> nets.getFirst().predict(flat, batch));
          Evaluation.Score all =
              scores.values().stream().reduce(Evaluation.Score::plus).orElseThrow();
          log.line(
              String.format(
                      Locale.ROOT,
                      "exact %s step %d all %.1f ",
                      plan.form().word(),
                      step,
                      100 * all.accuracy())
                  + Evaluation.format(scores));
        }
      }
    } finally {
      pool.shutdownNow();
      sources.forEach(BatchSource::close);
      nets.forEach(AdapterNet::close);
    }
  }

  /** The experts by token selection ratio on the adapter's own data. */
  private SortedMap<Integer, List<Integer>> choose() throws IOException {
    ExpertScores scores = new ExpertScores(config);
    ExpertParameters none = new ExpertParameters(config, new java.util.TreeMap<>());
    try (AdapterNet net = new AdapterNet(config, base, none)) {
      AdapterBatches data =
          new AdapterBatches(config, vocabulary, plan.form(), SCORED_SEED, net::media);
      for (int i = 0; i < SCORED; i++) {
        net.score(scores, data.row());
      }
    }
    for (int layer = 0; layer < config.textLayers(); layer++) {
      log.line(
          "scores %s layer %d tokens %s gates %s"
              .formatted(
                  plan.form().word(),
                  layer,
                  format(scores.tokenRatios(layer)),
                  format(scores.gateScores(layer))));
    }
    return ExpertScores.choose(
        IntStream.range(0, config.textLayers()).mapToObj(scores::tokenRatios).toList(), plan.p());
  }

  private static String format(double[] values) {
    StringBuilder out = new StringBuilder();
    for (double value : values) {
      out.append(String.format(Locale.ROOT, " %.3f", value));
    }
    return out.substring(1);
  }

  private void save(float[] flat, AdamW optimizer) throws IOException {
    long[] shape = {flat.length};
    Safetensors.write(
        plan.save(),
        Map.of(
            "experts", new Tensor(shape, flat),
            "adam.first", new Tensor(shape, optimizer.first),
            "adam.second", new Tensor(shape, optimizer.second),
            "steps", new Tensor(new long[] {1}, new float[] {optimizer.step})));
  }

  private void load(float[] flat, AdamW optimizer) throws IOException {
    Map<String, Tensor> saved = Safetensors.read(plan.save());
    TrainingState.copy(saved, "experts", flat);
    TrainingState.copy(saved, "adam.first", optimizer.first);
    TrainingState.copy(saved, "adam.second", optimizer.second);
    float[] steps = new float[1];
    TrainingState.copy(saved, "steps", steps);
    optimizer.step = (long) steps[0];
  }
}
