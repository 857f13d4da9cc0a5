package io.epidote.trainer;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.scenes.SceneSet;
import io.epidote.scenes.TaskKind;
import io.epidote.trainer.Safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Training and export on a tiny model of the same form. */
class WorkerTest {
  private static final ModelConfig TINY = ModelConfig.tiny();
  private static final Vocabulary VOCABULARY = new Vocabulary();

  @Test
  void stepsLowerTheLoss() {
    TrainingState state = TrainingState.fresh(TINY, 3);
    Batch batch = Batch.of(TINY, samples(4, TaskKind.COLOR));
    try (Worker worker = new Worker(state.parameters, state.statistics)) {
      float before = worker.gradient(state.flat, batch).answer();
      for (int i = 0; i < 5; i++) {
        Worker.Result result = worker.gradient(state.flat, batch);
        state.optimizer.update(state.flat, result.gradient(), 3e-3f, 0, state.flat.length);
      }
      assertThat(worker.gradient(state.flat, batch).answer()).isLessThan(before - 0.05f);
    }
  }

  @Test
  void theGradientIsThatOfFiniteDifferences() {
    TrainingState state = TrainingState.fresh(TINY, 4);
    Batch batch = Batch.of(TINY, samples(3, TaskKind.DESCRIBE));
    try (Worker worker = new Worker(state.parameters, state.statistics)) {
      Worker.Result result = worker.gradient(state.flat, batch);
      double norm = 0;
      for (float g : result.gradient()) {
        norm += (double) g * g;
      }
      // Along the gradient itself the loss must rise by the step times the norm.
      float step = 1e-3f;
      float[] up = state.flat.clone();
      float[] down = state.flat.clone();
      for (int i = 0; i < up.length; i++) {
        float d = (float) (step * result.gradient()[i] / Math.sqrt(norm));
        up[i] += d;
        down[i] -= d;
      }
      double slope =
          (loss(worker.gradient(up, batch)) - loss(worker.gradient(down, batch))) / (2 * step);
      assertThat(slope).isCloseTo(Math.sqrt(norm), within(0.05 * Math.sqrt(norm)));
    }
  }

  @Test
  void theGradientSurvivesGarbageCollection() {
    // Constants of multiplications that were freed before the backward pass once made garbage here.
    TrainingState state = TrainingState.fresh(TINY, 5);
    Batch batch = Batch.of(TINY, samples(2, TaskKind.COUNT));
    try (Worker worker = new Worker(state.parameters, state.statistics)) {
      float[] first = worker.gradient(state.flat, batch).gradient();
      for (int i = 0; i < 8; i++) {
        if (i % 2 == 0) {
          System.gc();
        }
        assertThat(worker.gradient(state.flat, batch).gradient()).isEqualTo(first);
      }
    }
  }

  @Test
  void finerExpertsThatAreChosenTogetherAreTheCoarseOnes() {
    TrainingState coarse = TrainingState.fresh(TINY, 6);
    ModelConfig fine = TINY.finer(4);
    Map<String, Tensor> split =
        FineExperts.split(TINY, coarse.parameters.tensors(coarse.flat), 4, 0);
    TrainingState finer = TrainingState.fresh(fine, 7);
    finer.parameters.set(finer.flat, split);
    Batch batch = Batch.of(TINY, samples(4, TaskKind.DESCRIBE));
    try (Worker before = new Worker(coarse.parameters, coarse.statistics);
        Worker after = new Worker(finer.parameters, finer.statistics)) {
      assertThat(after.gradient(finer.flat, batch).answer())
          .isCloseTo(before.gradient(coarse.flat, batch).answer(), within(1e-4f));
      // And each has a gate of its own.
      finer.parameters.set(
          finer.flat, FineExperts.split(TINY, coarse.parameters.tensors(coarse.flat), 4, 1));
      assertThat(after.gradient(finer.flat, batch).answer())
          .isNotCloseTo(before.gradient(coarse.flat, batch).answer(), within(1e-4f));
    }
  }

  @Test
  void packedQuestionsAreAnsweredAsIfAlone() {
    TrainingState state = TrainingState.fresh(TINY, 6);
    List<Sample> alone = new ArrayList<>();
    List<Sample.Pair> pairs = new ArrayList<>();
    Sample first = samples(1, TaskKind.DESCRIBE).getFirst();
    for (Sample sample : samples(5, TaskKind.WHERE)) {
      alone.add(sample.about(first));
      pairs.addAll(sample.pairs());
    }
    Sample packed = new Sample(first.tilings(), first.labels(), pairs, first.prefix());
    try (Worker worker = new Worker(state.parameters, state.statistics)) {
      List<Long> separate = new ArrayList<>();
      for (Sample sample : alone) {
        for (long token : worker.predict(state.flat, Batch.of(TINY, List.of(sample)))) {
          separate.add(token);
        }
      }
      assertThat(worker.predict(state.flat, Batch.of(TINY, List.of(packed))))
          .containsExactly(separate.stream().mapToLong(Long::longValue).toArray());
    }
  }

  @Test
  void theExportedFolderComputesWhatWasTrained(@TempDir Path folder) throws IOException {
    TrainingState state = TrainingState.fresh(TINY, 7);
    // Statistics that are not the neutral ones: folding them into the convolutions must matter.
    for (float[] values : state.statistics) {
      for (int i = 0; i < values.length; i++) {
        values[i] += 0.05f * (i % 7);
      }
    }
    state.export(folder);
    assertThat(folder.resolve("config.json")).exists();
    List<Sample> samples = new ArrayList<>(samples(3, TaskKind.DESCRIBE));
    samples.addAll(samples(2, TaskKind.WHICH));
    try (Worker worker = new Worker(state.parameters, state.statistics);
        ReferenceModel reference = new ReferenceModel(folder)) {
      for (Sample sample : samples) {
        Batch batch = Batch.of(TINY, List.of(sample));
        long[] trained = worker.predict(state.flat, batch);
        int[] pair = sample.pairs().getFirst().ids();
        long[] ids = new long[sample.length()];
        for (int i = 0; i < ids.length; i++) {
          ids[i] =
              i < sample.prefix().length ? sample.prefix()[i] : pair[i - sample.prefix().length];
        }
        float[][] logits = reference.logits(ids, sample.tiles().toArray(float[][]::new));
        for (int i = 0; i < trained.length; i++) {
          assertThat(argMax(logits[(int) batch.selected()[i]])).isEqualTo((int) trained[i]);
        }
      }
    }
  }

  @Test
  void exportAndLoadAreInverse(@TempDir Path folder) throws IOException {
    TrainingState state = TrainingState.fresh(TINY, 8);
    Checkpoint checkpoint = new Checkpoint(TINY);
    Map<String, Tensor> exported =
        checkpoint.export(state.parameters.tensors(state.flat), state.statistics);
    Path file = folder.resolve("model.safetensors");
    Safetensors.write(file, exported);
    Map<String, Tensor> read = Safetensors.read(file);
    assertThat(read).hasSameSizeAs(exported);
    exported.forEach((name, tensor) -> {
      Tensor back = requireNonNull(read.get(name));
      assertThat(back.shape()).as(name).isEqualTo(tensor.shape());
      assertThat(back.data()).as(name).isEqualTo(tensor.data());
    });
    Map<String, Tensor> loaded = checkpoint.load(read);
    state
        .parameters
        .tensors(state.flat)
        .forEach((name, tensor) -> {
          if (!name.startsWith("stem.") && !name.startsWith("aux.")) {
            assertThat(requireNonNull(loaded.get(name)).data()).as(name).isEqualTo(tensor.data());
          }
        });
    assertThat(Files.size(file) % 4).isZero();
  }

  @Test
  void aSavedStateGoesOnWhereItWas(@TempDir Path folder) throws IOException {
    TrainingState state = TrainingState.fresh(TINY, 9);
    Batch batch = Batch.of(TINY, samples(2, TaskKind.SHAPE));
    try (Worker worker = new Worker(state.parameters, state.statistics)) {
      float[] gradient = worker.gradient(state.flat, batch).gradient();
      state.optimizer.update(state.flat, gradient, 1e-3f, 0, gradient.length);
      Path file = folder.resolve("state.safetensors");
      state.save(file);
      TrainingState loaded = TrainingState.load(file, ModelConfig.scenes(), TINY);
      loaded.optimizer.update(loaded.flat, gradient, 1e-3f, 0, gradient.length);
      state.optimizer.update(state.flat, gradient, 1e-3f, 0, gradient.length);
      assertThat(loaded.flat).isEqualTo(state.flat);
    }
  }

  private static double loss(Worker.Result result) {
    return result.answer() + 0.3 * result.auxiliary() + 0.02 * result.balance();
  }

  private static List<Sample> samples(int count, TaskKind kind) {
    List<Sample> samples = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      samples.add(Sample.of(VOCABULARY, SceneSet.heldOut(30, i, kind), false));
    }
    return samples;
  }

  private static int argMax(float[] values) {
    int best = 0;
    for (int i = 1; i < values.length; i++) {
      best = values[i] > values[best] ? i : best;
    }
    return best;
  }
}
