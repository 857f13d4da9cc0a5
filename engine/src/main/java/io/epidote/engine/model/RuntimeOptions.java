package io.epidote.engine.model;

import java.nio.file.Path;

/**
 * How models run.
 *
 * @param threads threads that one model's step may use
 * @param precision of the weights of linear layers
 * @param cache folder for graphs and converted weights, made when missing
 * @param prepack whether each process keeps its own copy of the weights in the kernels' order:
 *     several times faster; without it, weights stay mapped and are shared by all processes
 */
public record RuntimeOptions(int threads, Precision precision, Path cache, boolean prepack) {
  public RuntimeOptions {
    if (threads < 1) {
      throw new IllegalArgumentException("threads is " + threads + "; it must be at least 1");
    }
  }

  /** Full precision, prepacked. */
  public static RuntimeOptions reference(int threads, Path cache) {
    return new RuntimeOptions(threads, Precision.FP32, cache, true);
  }
}
