package io.epidote.trainer;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.Shape;
import io.epidote.trainer.Safetensors.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;

/** The experts of an adapter as one flat array: w1, w3 and w2 (transposed) of each in turn. */
final class ExpertParameters {
  private static final List<String> PARTS = List.of("w1", "w3", "w2");

  private final ModelConfig config;
  private final List<String> names = new ArrayList<>();
  private final SortedMap<Integer, List<Integer>> experts;

  /**
   * A layout.
   *
   * @param experts chosen experts of each layer
   */
  ExpertParameters(ModelConfig config, SortedMap<Integer, List<Integer>> experts) {
    this.config = config;
    this.experts = experts;
    experts.forEach((layer, list) -> {
      for (int expert : list) {
        for (String part : PARTS) {
          names.add("text." + layer + "." + part + "." + expert);
        }
      }
    });
  }

  /** Whether a parameter of {@link Parameters} has all experts of a layer, stacked. */
  static boolean stacked(String name) {
    return PARTS.stream().anyMatch(part -> name.endsWith("." + part));
  }

  /** Chosen experts of each layer. */
  SortedMap<Integer, List<Integer>> experts() {
    return experts;
  }

  int size() {
    return names.size() * each();
  }

  /** The values that the base has. */
  float[] initial(Map<String, Tensor> base) {
    float[] flat = new float[size()];
    for (int i = 0; i < names.size(); i++) {
      int dot = names.get(i).lastIndexOf('.');
      Tensor tensor = base.get(names.get(i).substring(0, dot));
      if (tensor == null) {
        throw new IllegalArgumentException("the base has no " + names.get(i));
      }
      int expert = Integer.parseInt(names.get(i).substring(dot + 1));
      System.arraycopy(tensor.data(), expert * each(), flat, i * each(), each());
    }
    return flat;
  }

  /** Each expert's arrays, connected to the flat array's gradient. */
  Map<String, NDArray> split(NDArray flat) {
    NDList parts = flat.split(names.size(), 0);
    Map<String, NDArray> byName = new LinkedHashMap<>();
    for (int i = 0; i < names.size(); i++) {
      byName.put(
          names.get(i),
          parts.get(i).reshape(new Shape(config.expertIntermediate(), config.hidden())));
    }
    return byName;
  }

  /** Each expert's values. */
  Map<String, Tensor> tensors(float[] flat) {
    Map<String, Tensor> byName = new LinkedHashMap<>();
    for (int i = 0; i < names.size(); i++) {
      byName.put(
          names.get(i),
          new Tensor(
              new long[] {config.expertIntermediate(), config.hidden()},
              Arrays.copyOfRange(flat, i * each(), (i + 1) * each())));
    }
    return byName;
  }

  private int each() {
    return config.expertIntermediate() * config.hidden();
  }
}
