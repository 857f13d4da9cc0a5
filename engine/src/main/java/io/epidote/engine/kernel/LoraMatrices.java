package io.epidote.engine.kernel;

import java.util.List;

/**
 * What a low-rank adapter adds to linear layers that read the same rows: {@code x A B}, with B
 * already scaled.
 *
 * @param in width of a row
 * @param rank of all of the layers together
 * @param down address of A, the layers' side by side, as {@link PackedFloats} {@code [in, rank]}
 * @param ups B of each layer
 */
public record LoraMatrices(int in, int rank, long down, List<Up> ups) {
  public LoraMatrices {
    ups = List.copyOf(ups);
  }

  /**
   * One layer's B.
   *
   * @param first of A's columns, the first that is this layer's
   * @param column of the results that stand side by side, the first that is this layer's
   * @param weights address, as {@link PackedFloats} {@code [rank, out]}
   */
  public record Up(int first, int rank, int column, int out, long weights) {}
}
