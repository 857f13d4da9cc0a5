package io.epidote.engine.kernel;

/**
 * Where an operator puts its rows once more as bytes, for a linear layer that reads them so.
 *
 * @param bytes {@code [T, width]}; 0 when nobody reads them
 * @param scales {@code [T, 1]}
 */
record ByteRows(long bytes, long scales, int width) {
  /** The outputs {@code index} and {@code index + 1} of a node. */
  static ByteRows output(KernelContext context, int index, int tokens, int width) throws Throwable {
    return new ByteRows(
        context.output(index, tokens, width), context.output(index + 1, tokens, 1), width);
  }

  boolean wanted() {
    return bytes != 0;
  }

  /** Quantises a row, when that is wanted. */
  void put(long row, int token) {
    if (wanted()) {
      Activations.quantize(
          row, width, bytes + (long) token * width, scales + token * (long) Float.BYTES);
    }
  }
}
