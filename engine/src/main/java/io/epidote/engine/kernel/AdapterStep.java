package io.epidote.engine.kernel;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * Which tokens of a step belong to adapters; all others are the base's. One for a session, whose
 * operators share it.
 */
public final class AdapterStep {
  private List<Part> parts = List.of();

  /**
   * What an adapter has of a step.
   *
   * @param name of the adapter
   * @param tokens in rising order
   */
  public record Part(String name, AdapterLayers layers, int[] tokens) {}

  /** Sets what the next run is about: each adapter once. */
  public void prepare(List<Part> parts) {
    this.parts = parts;
  }

  List<Part> parts() {
    return parts;
  }

  /** The rows that low-rank adapters change in a layer whose rows are the step's tokens. */
  List<LoraKernel.Segment> segments(
      int layer, Function<AdapterLayers.Layer, Optional<LoraMatrices>> matrices) {
    List<LoraKernel.Segment> segments = new ArrayList<>();
    for (Part part : parts) {
      matrices
          .apply(part.layers().layer(layer))
          .ifPresent(lora -> segments.add(new LoraKernel.Segment(lora, part.tokens())));
    }
    return segments;
  }
}
