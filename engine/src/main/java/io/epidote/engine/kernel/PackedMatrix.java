package io.epidote.engine.kernel;

/**
 * How a matrix {@code [in, out]} stands in memory for {@link PanelProducts}: panels of {@value
 * #COLUMNS} columns, one after the other, each of which a product reads once from end to end.
 * Columns that fill the last panel up are 0.
 */
public sealed interface PackedMatrix permits PackedBytes, PackedFloats {
  /** Columns of a panel: two vectors of 512 bits. */
  int COLUMNS = 32;

  /**
   * A matrix of bytes or of floats.
   *
   * @param bytes whether of bytes
   */
  static PackedMatrix of(boolean bytes, int in, int out) {
    return bytes ? new PackedBytes(in, out) : new PackedFloats(in, out);
  }

  /** Rows of the matrix. */
  int in();

  /** Its columns. */
  int out();

  /** Bytes of a row that is multiplied by it. */
  long rowBytes();

  long panelBytes();

  default int panels() {
    return (out() + COLUMNS - 1) / COLUMNS;
  }

  default long bytes() {
    return panels() * panelBytes();
  }

  /** How many columns of a panel are the matrix's. */
  default int columns(int panel) {
    return Math.min(COLUMNS, out() - panel * COLUMNS);
  }
}
