package io.epidote.engine.model;

import java.nio.FloatBuffer;

/**
 * Logits of a step.
 *
 * @param values {@code [rows, vocabulary]}
 */
public record Logits(FloatBuffer values, int rows, int vocabulary) {
  /** A view of one row, {@code [vocabulary]}. */
  public FloatBuffer row(int row) {
    return values.slice(row * vocabulary, vocabulary);
  }
}
