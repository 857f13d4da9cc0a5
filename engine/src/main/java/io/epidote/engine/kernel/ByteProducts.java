package io.epidote.engine.kernel;

/**
 * Products of rows of unsigned bytes with a panel of {@link PackedBytes}. The sums are exact, so
 * that every implementation gives the same bits, whatever rows stand beside a row.
 */
interface ByteProducts {
  /** The machine's: generated code where there is some for its processor. */
  ByteProducts BEST = NativeByteProducts.of().orElseGet(PortableByteProducts::new);

  /** How many rows a call takes at most. */
  int maxRows();

  /**
   * {@code to[r, c] = float(sum over i of (rows[r, i] - 128) * weight[i, c]) * scale[c] *
   * scales[r]}.
   *
   * @param count of rows, 1 to {@link #maxRows()}
   * @param rows {@code [count, in]} bytes
   * @param rowBytes from one row to the next
   * @param panel of {@link PackedBytes}
   * @param in a multiple of 4
   * @param scales {@code [count]} floats
   * @param to {@code [count, 32]} floats
   * @param toBytes from one row to the next
   */
  void multiply(
      int count, long rows, long rowBytes, long panel, int in, long scales, long to, long toBytes);
}
