package io.epidote.engine.kernel;

/**
 * Products of rows with a panel of a {@link PackedMatrix}. Sums of bytes are exact, sums of floats
 * are fused and in the order of the elements, so that every implementation gives the same bits,
 * whatever rows stand beside a row.
 */
interface PanelProducts {
  /** The machine's for {@link PackedBytes}: generated code where there is some for it. */
  PanelProducts OF_BYTES = NativePanelProducts.ofBytes().orElseGet(PortableByteProducts::new);

  /** Likewise for {@link PackedFloats}. */
  PanelProducts OF_FLOATS = NativePanelProducts.ofFloats().orElseGet(PortableRowProducts::new);

  /** How many rows a call takes at most. */
  int maxRows();

  /**
   * For floats, {@code to[r, c] = sum over i of rows[r, i] * weight[i, c]}. For bytes, {@code to[r,
   * c] = float(sum over i of (rows[r, i] - 128) * weight[i, c]) * scale[c] * scales[r]}.
   *
   * @param count of rows, 1 to {@link #maxRows()}
   * @param rows {@code [count, in]} floats or bytes
   * @param rowBytes from one row to the next
   * @param scales {@code [count]} floats, of bytes only
   * @param to {@code [count, 32]} floats
   * @param toBytes from one row to the next
   */
  void multiply(
      int count, long rows, long rowBytes, long panel, int in, long scales, long to, long toBytes);
}
