package io.epidote.engine.model;

import java.util.List;

/**
 * What a loaded model takes of its process's memory.
 *
 * @param weightFile path of the file that weights are mapped from, empty when there is none
 * @param weightCopies bytes of weights that the process has for itself, in the kernels' order
 * @param activations bytes that steps work in, at their most so far
 * @param adapterFiles paths of the files that adapters are mapped from
 */
public record ModelMemory(
    String weightFile, long weightCopies, long activations, List<String> adapterFiles) {
  public ModelMemory {
    adapterFiles = List.copyOf(adapterFiles);
  }

  /** Without adapters. */
  public ModelMemory(String weightFile, long weightCopies, long activations) {
    this(weightFile, weightCopies, activations, List.of());
  }
}
