package io.epidote.trainer;

import io.epidote.scenes.AnswerForm;
import io.epidote.scenes.TaskKind;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Runs one stage of the curriculum: data parallel over workers, one thread each. */
final class Training {
  /**
   * What a stage is to do.
   *
   * @param stage what is trained on what
   * @param frozenTower whether the tower stays as it is
   * @param schedule optimizer steps of this stage and their learning rates
   * @param workers threads; each draws and computes a batch of its own per step
   * @param seed of the scenes, different for every stage of a run
   * @param evaluateEvery steps between held-out accuracies
   * @param evaluationCount tasks of each kind
   * @param log where lines are appended
   * @param save where the state is kept
   */
  record Plan(
      Stage stage,
      boolean frozenTower,
      Schedule schedule,
      int workers,
      long seed,
      int evaluateEvery,
      int evaluationCount,
      Path log,
      Path save) {}

  /** No sound gradient of one parameter comes near this. */
  private static final float LARGEST_GRADIENT = 200;

  private static final int SAVE_EVERY = 100;

  private static final AnswerForm[] NO_FORMS = {};

  private final TrainingState state;
  private final Plan plan;
  private final TrainingLog log;

  Training(TrainingState state, Plan plan) {
    this.state = state;
    this.plan = plan;
    this.log = new TrainingLog(plan.log());
  }

  /** Trains; the state is saved at every evaluation and at the end. */
  void run() throws IOException, InterruptedException {
    ModelConfig config = state.parameters.config();
    Vocabulary vocabulary = new Vocabulary();
    List<TaskKind> kinds =
        plan.stage() == Stage.TOWER
            ? List.of()
            : Arrays.stream(TaskKind.values())
                .filter(k -> k != TaskKind.WHICH || plan.stage().which > 0)
                .toList();
    Evaluation evaluation =
        Evaluation.ofKinds(config, vocabulary, kinds, plan.evaluationCount(), 1234, false);
    List<Worker> workers = new ArrayList<>();
    List<BatchSource<Batch>> sources = new ArrayList<>();
    ExecutorService pool = Executors.newFixedThreadPool(plan.workers());
    for (int i = 0; i < plan.workers(); i++) {
      workers.add(new Worker(state.parameters, state.statistics));
      sources.add(
          new BatchSource<>(
              new StageBatches(config, vocabulary, plan.stage(), plan.seed() * 100 + i)));
    }
    // While only the tower is trained nothing behind it may move, not even by weight decay.
    int to = plan.stage() == Stage.TOWER ? state.parameters.towerSize() : state.parameters.size();
    int from = plan.frozenTower() ? state.parameters.towerSize() : 0;
    log.line(
        "stage %s: %d steps, rate %.1e to %.1e, seed %d"
            .formatted(
                plan.stage(),
                plan.schedule().steps(),
                plan.schedule().rate(),
                plan.schedule().finalRate(),
                plan.seed()));
    double[] sums = new double[4];
    int averaged = 0;
    try {
      for (int step = 1; step <= plan.schedule().steps(); step++) {
        List<Future<Worker.Result>> futures = new ArrayList<>();
        for (int i = 0; i < workers.size(); i++) {
          Worker worker = workers.get(i);
          BatchSource<Batch> source = sources.get(i);
          futures.add(pool.submit(() -> gradient(worker, source.next())));
        }
        List<Worker.Result> results = new ArrayList<>();
        for (Future<Worker.Result> future : futures) {
          results.add(get(future));
        }
        float[] gradient = results.getFirst().gradient();
        for (int i = 1; i < results.size(); i++) {
          float[] other = results.get(i).gradient();
          for (int j = 0; j < gradient.length; j++) {
            gradient[j] += other[j];
          }
        }
        float share = 1f / results.size();
        for (int j = 0; j < gradient.length; j++) {
          gradient[j] *= share;
        }
        if (plan.stage() == Stage.TOWER) {
          average(workers);
        }
        double norm =
            state.optimizer.update(
                state.flat, gradient, (float) plan.schedule().rate(step), from, to);
        state.steps++;
        for (Worker.Result result : results) {
          sums[0] += result.answer() / results.size();
          sums[1] += result.auxiliary() / results.size();
          sums[2] += result.balance() / results.size();
        }
        sums[3] += norm;
        averaged++;
        if (step % 25 == 0 || step == plan.schedule().steps()) {
          log.line(
              String.format(
                  Locale.ROOT,
                  "step %d of %d total %d answer %.4f auxiliary %.4f balance %.3f norm %.2f rate %.2e",
                  step,
                  plan.schedule().steps(),
                  state.steps,
                  sums[0] / averaged,
                  sums[1] / averaged,
                  sums[2] / averaged,
                  sums[3] / averaged,
                  plan.schedule().rate(step)));
          Arrays.fill(sums, 0);
          averaged = 0;
        }
        if (step % SAVE_EVERY == 0 || step == plan.schedule().steps()) {
          state.statistics = workers.getFirst().statistics();
          state.save(plan.save());
        }
        if (step % plan.evaluateEvery() == 0 || step == plan.schedule().steps()) {
          if (plan.stage() == Stage.TOWER) {
            float[] right = workers.getFirst().towerAccuracy(state.flat, sources.getFirst().next());
            log.line(
                "held positions color %.1f kind %.1f".formatted(100 * right[0], 100 * right[1]));
          } else {
            Map<String, Evaluation.Score> scores =
                evaluation.run(batch -> workers.getFirst().predict(state.flat, batch));
            log.line("exact total %d ".formatted(state.steps) + Evaluation.format(scores));
            for (AnswerForm form : plan.stage() == Stage.FORMS ? AnswerForm.values() : NO_FORMS) {
              scores =
                  Evaluation.ofForm(
                          config,
                          vocabulary,
                          form,
                          Vocabulary.speaker(form),
                          plan.evaluationCount(),
                          1234,
                          false)
                      .run(batch -> workers.getFirst().predict(state.flat, batch));
              log.line("form " + form.word() + " " + Evaluation.format(scores));
            }
          }
        }
      }
    } finally {
      pool.shutdownNow();
      sources.forEach(BatchSource::close);
      workers.forEach(Worker::close);
    }
  }

  private Worker.Result gradient(Worker worker, Batch batch) {
    Worker.Result result = worker.gradient(state.flat, batch, plan.frozenTower());
    checkSound(result.gradient());
    return result;
  }

  /** Clipping would turn a garbage gradient into a step of noise: better to know. */
  static void checkSound(float[] gradient) {
    for (float value : gradient) {
      if (!(Math.abs(value) < LARGEST_GRADIENT)) {
        throw new IllegalStateException(
            "a gradient is "
                + value
                + ", expected below "
                + LARGEST_GRADIENT
                + ": a defect, or a far too high learning rate");
      }
    }
  }

  private static void average(List<Worker> workers) {
    List<float[]> mean = workers.getFirst().statistics();
    for (int w = 1; w < workers.size(); w++) {
      List<float[]> other = workers.get(w).statistics();
      for (int i = 0; i < mean.size(); i++) {
        for (int j = 0; j < mean.get(i).length; j++) {
          mean.get(i)[j] += other.get(i)[j];
        }
      }
    }
    for (float[] values : mean) {
      for (int j = 0; j < values.length; j++) {
        values[j] /= workers.size();
      }
    }
    workers.forEach(w -> w.setStatistics(mean));
  }

  /** The result of a worker's step. */
  static <T> T get(Future<T> future) throws InterruptedException {
    try {
      return future.get();
    } catch (ExecutionException e) {
      throw new IllegalStateException("a training worker failed", e.getCause());
    }
  }
}
