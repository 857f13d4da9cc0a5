package io.epidote.engine.model;

import java.nio.file.Path;

/**
 * How models run.
 *
 * @param threads threads that one model's step may use
 * @param cache folder for graphs and converted weights, made when missing
 */
public record RuntimeOptions(int threads, Path cache) {
  public RuntimeOptions {
    if (threads < 1) {
      throw new IllegalArgumentException("threads is " + threads + "; it must be at least 1");
    }
  }
}
