package io.epidote.trainer;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.Shape;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * Names, shapes and first values of all trained parameters, which lie in one flat array: a step
 * then copies, clips and updates one array, and one split gives the parameters back with their
 * gradients connected.
 *
 * <p>Experts and the projections of attention are stacked here; {@link Checkpoint} takes them apart
 * under the names of the Hugging Face form.
 */
final class Parameters {
  /** How a parameter starts. */
  enum Init {
    NORMAL,
    ZERO,
    ONE
  }

  /** One named parameter; {@code deviation} counts for {@link Init#NORMAL}. */
  record Entry(String name, long[] shape, Init init, double deviation) {
    int size() {
      return Math.toIntExact(new Shape(shape).size());
    }
  }

  private final List<Entry> entries = new ArrayList<>();
  private final ModelConfig config;

  Parameters(ModelConfig config) {
    this.config = config;
    int h = config.hidden();
    for (int i = 0; i < config.stem().size(); i++) {
      ModelConfig.Conv conv = config.stem().get(i);
      normal(
          "stem." + i + ".weight", Math.sqrt(2.0 / (9 * conv.in())), conv.out(), conv.in(), 3, 3);
      fill("stem." + i + ".gamma", Init.ONE, conv.out());
      fill("stem." + i + ".beta", Init.ZERO, conv.out());
    }
    normal("vision.position", 0.1, (long) ModelConfig.GRID * ModelConfig.GRID, h);
    double in = 1 / Math.sqrt(h);
    double visionOut = in / Math.sqrt(2.0 * config.visionLayers());
    for (int l = 0; l < config.visionLayers(); l++) {
      String p = "vision." + l + ".";
      norm(p + "norm1", h);
      normal(p + "qkv.weight", in, 3L * h, h);
      fill(p + "qkv.bias", Init.ZERO, 3L * h);
      normal(p + "out.weight", visionOut, h, h);
      fill(p + "out.bias", Init.ZERO, h);
      norm(p + "norm2", h);
      normal(p + "fc1.weight", in, config.visionIntermediate(), h);
      fill(p + "fc1.bias", Init.ZERO, config.visionIntermediate());
      double out = 1 / Math.sqrt(2.0 * config.visionLayers() * config.visionIntermediate());
      normal(p + "fc2.weight", out, h, config.visionIntermediate());
      fill(p + "fc2.bias", Init.ZERO, h);
    }
    norm("vision.post", h);
    // The auxiliary heads are trained with the tower and not exported.
    normal("aux.weight", in, Labels.CLASSES, h);
    fill("aux.bias", Init.ZERO, Labels.CLASSES);
    int merged = h * ModelConfig.SHUFFLE * ModelConfig.SHUFFLE;
    normal("connector", 1 / Math.sqrt(merged), h, merged);
    normal("text.embed", 0.05, config.vocabulary(), h);
    int q = config.heads() * config.headDim();
    int kv = config.kvHeads() * config.headDim();
    int width = config.experts() * config.expertIntermediate();
    double depth = Math.sqrt(2.0 * config.textLayers());
    for (int l = 0; l < config.textLayers(); l++) {
      String p = "text." + l + ".";
      fill(p + "norm1", Init.ONE, h);
      normal(p + "qkv", in, q + 2L * kv, h);
      normal(p + "out", 1 / Math.sqrt(q) / depth, h, q);
      fill(p + "norm2", Init.ONE, h);
      normal(p + "gate", 0.05, config.experts(), h);
      normal(p + "w1", in, width, h);
      normal(p + "w3", in, width, h);
      // [experts * intermediate, hidden]: expert e's w2, transposed, is rows e * intermediate ...
      normal(p + "w2", 1 / Math.sqrt(config.expertIntermediate()) / depth, width, h);
    }
    fill("text.norm", Init.ONE, h);
  }

  ModelConfig config() {
    return config;
  }

  List<Entry> entries() {
    return entries;
  }

  int size() {
    return entries.stream().mapToInt(Entry::size).sum();
  }

  /** Index of the first value of the decoder's side: what is before it belongs to the tower. */
  int towerSize() {
    int size = 0;
    for (Entry entry : entries) {
      if (entry.name().equals("connector")) {
        break;
      }
      size += entry.size();
    }
    return size;
  }

  /** 1 where weight decay applies (matrices), 0 elsewhere. */
  float[] decayed() {
    float[] mask = new float[size()];
    int at = 0;
    for (Entry entry : entries) {
      boolean decay = entry.init() == Init.NORMAL && !entry.name().equals("text.embed");
      java.util.Arrays.fill(mask, at, at + entry.size(), decay ? 1 : 0);
      at += entry.size();
    }
    return mask;
  }

  /** First values. */
  float[] initial(long seed) {
    Random random = new Random(seed);
    float[] values = new float[size()];
    int at = 0;
    for (Entry entry : entries) {
      for (int i = 0; i < entry.size(); i++) {
        values[at++] =
            switch (entry.init()) {
              case NORMAL -> (float) (random.nextGaussian() * entry.deviation());
              case ZERO -> 0;
              case ONE -> 1;
            };
      }
    }
    return values;
  }

  /** The parameters as arrays that share the flat array's gradient. */
  Map<String, NDArray> split(NDArray flat) {
    long[] ends = new long[entries.size() - 1];
    long at = 0;
    for (int i = 0; i < ends.length; i++) {
      at += entries.get(i).size();
      ends[i] = at;
    }
    NDList parts = flat.split(ends);
    Map<String, NDArray> byName = new LinkedHashMap<>();
    for (int i = 0; i < entries.size(); i++) {
      byName.put(entries.get(i).name(), parts.get(i).reshape(new Shape(entries.get(i).shape())));
    }
    return byName;
  }

  /** The parameters as heap tensors. */
  Map<String, Safetensors.Tensor> tensors(float[] flat) {
    Map<String, Safetensors.Tensor> byName = new LinkedHashMap<>();
    int at = 0;
    for (Entry entry : entries) {
      byName.put(
          entry.name(),
          new Safetensors.Tensor(
              entry.shape(), java.util.Arrays.copyOfRange(flat, at, at + entry.size())));
      at += entry.size();
    }
    return byName;
  }

  /** The flat array of heap tensors; what is missing among them keeps its value. */
  void set(float[] flat, Map<String, Safetensors.Tensor> tensors) {
    int at = 0;
    for (Entry entry : entries) {
      Safetensors.Tensor tensor = tensors.get(entry.name());
      if (tensor != null) {
        System.arraycopy(tensor.data(), 0, flat, at, entry.size());
      }
      at += entry.size();
    }
  }

  private void norm(String name, long size) {
    fill(name + ".weight", Init.ONE, size);
    fill(name + ".bias", Init.ZERO, size);
  }

  private void normal(String name, double deviation, long... shape) {
    entries.add(new Entry(name, shape, Init.NORMAL, deviation));
  }

  private void fill(String name, Init init, long size) {
    entries.add(new Entry(name, new long[] {size}, init, 0));
  }
}
