package io.epidote.engine.kernel;

/**
 * The sizes of a layer's experts, the same in every layer that has some.
 *
 * @param hidden floats of a row
 * @param intermediate of a row between an expert's layers
 * @param perToken experts that a token goes through
 */
public record ExpertShape(int hidden, int intermediate, int experts, int perToken) {
  /** An expert's gate and up side by side. */
  public PackedMatrix gateUp(boolean bytes) {
    return PackedMatrix.of(bytes, hidden, 2 * intermediate);
  }

  /** Its down. */
  public PackedMatrix down(boolean bytes) {
    return PackedMatrix.of(bytes, intermediate, hidden);
  }
}
