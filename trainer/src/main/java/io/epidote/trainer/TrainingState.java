package io.epidote.trainer;

import io.epidote.trainer.Safetensors.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Everything a run needs to go on: parameters, optimizer, batch normalization, total steps. */
final class TrainingState {
  final Parameters parameters;
  final float[] flat;
  final AdamW optimizer;
  List<float[]> statistics;
  long steps;

  private TrainingState(Parameters parameters, float[] flat, List<float[]> statistics) {
    this.parameters = parameters;
    this.flat = flat;
    this.optimizer = new AdamW(parameters.decayed());
    this.statistics = statistics;
  }

  static TrainingState fresh(ModelConfig config, long seed) {
    Parameters parameters = new Parameters(config);
    List<float[]> statistics = new ArrayList<>();
    for (ModelConfig.Conv conv : config.stem()) {
      statistics.add(new float[conv.out()]);
      float[] variance = new float[conv.out()];
      java.util.Arrays.fill(variance, 1);
      statistics.add(variance);
    }
    return new TrainingState(parameters, parameters.initial(seed), statistics);
  }

  /**
   * A saved state.
   *
   * @param forms sizes that it may be of; the one that fits is taken
   * @throws IOException when the file cannot be read or is of another model
   */
  static TrainingState load(Path file, ModelConfig... forms) throws IOException {
    Map<String, Tensor> tensors = Safetensors.read(file);
    Tensor saved = tensors.get("parameters");
    TrainingState state = fresh(forms[0], 0);
    for (int i = 1; saved != null && state.flat.length != saved.data().length; i++) {
      if (i == forms.length) {
        throw new IOException(file + " is a training state of another model");
      }
      state = fresh(forms[i], 0);
    }
    copy(tensors, "parameters", state.flat);
    copy(tensors, "adam.first", state.optimizer.first);
    copy(tensors, "adam.second", state.optimizer.second);
    for (int i = 0; i < state.statistics.size(); i++) {
      copy(tensors, "statistics." + i, state.statistics.get(i));
    }
    float[] steps = new float[2];
    copy(tensors, "steps", steps);
    state.optimizer.step = (long) steps[0];
    state.steps = (long) steps[1];
    return state;
  }

  void save(Path file) throws IOException {
    Map<String, Tensor> tensors = new LinkedHashMap<>();
    put(tensors, "parameters", flat);
    put(tensors, "adam.first", optimizer.first);
    put(tensors, "adam.second", optimizer.second);
    for (int i = 0; i < statistics.size(); i++) {
      put(tensors, "statistics." + i, statistics.get(i));
    }
    put(tensors, "steps", new float[] {optimizer.step, steps});
    Safetensors.write(file, tensors);
  }

  /** A state of finer experts, whose optimizer begins again. */
  TrainingState finer(int parts) {
    ModelConfig coarse = parameters.config();
    TrainingState finer = fresh(coarse.finer(parts), 0);
    finer.parameters.set(
        finer.flat, FineExperts.split(coarse, parameters.tensors(flat), parts, FineExperts.APART));
    finer.statistics = statistics;
    finer.steps = steps;
    return finer;
  }

  /**
   * The state of a folder that {@link #export} wrote: its batch normalization is the identity with
   * the folded biases. The auxiliary heads are gone, so only what is behind the tower can be
   * trained further.
   */
  static TrainingState ofFolder(ModelConfig config, Path folder) throws IOException {
    TrainingState state = fresh(config, 0);
    Map<String, Tensor> tensors =
        new Checkpoint(config).load(Safetensors.read(folder.resolve("model.safetensors")));
    for (int i = 0; i < config.stem().size(); i++) {
      tensors.put("stem." + i + ".beta", tensors.get("stem." + i + ".bias"));
      java.util.Arrays.fill(state.statistics.get(2 * i + 1), 1 - ModelConfig.BATCH_NORM_EPS);
    }
    state.parameters.set(state.flat, tensors);
    return state;
  }

  /** Writes the folder that ships. */
  void export(Path folder) throws IOException {
    ModelFolder.write(
        folder,
        parameters.config(),
        new Vocabulary(),
        new Checkpoint(parameters.config()).export(parameters.tensors(flat), statistics));
  }

  private static void put(Map<String, Tensor> tensors, String name, float[] data) {
    tensors.put(name, new Tensor(new long[] {data.length}, data));
  }

  /** Copies a vector out of a saved state. */
  static void copy(Map<String, Tensor> tensors, String name, float[] to) throws IOException {
    Tensor tensor = tensors.get(name);
    if (tensor == null || tensor.data().length != to.length) {
      throw new IOException(
          "the training state has no "
              + name
              + " of "
              + to.length
              + " values: it is of another model");
    }
    System.arraycopy(tensor.data(), 0, to, 0, to.length);
  }
}
