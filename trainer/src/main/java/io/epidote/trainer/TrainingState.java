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

  static TrainingState load(ModelConfig config, Path file) throws IOException {
    Map<String, Tensor> tensors = Safetensors.read(file);
    TrainingState state = fresh(config, 0);
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
