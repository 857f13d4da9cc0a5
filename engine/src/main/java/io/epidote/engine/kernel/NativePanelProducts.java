package io.epidote.engine.kernel;

import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Code for x86-64 with AVX-512 or AVX2, generated when it is first used. */
final class NativePanelProducts implements PanelProducts {
  private final int maxRows;

  /** Elements of a row that a step of the loop takes. */
  private final int step;

  private final NativeCode code;

  private NativePanelProducts(int maxRows, int step, NativeCode code) {
    this.maxRows = maxRows;
    this.step = step;
    this.code = code;
  }

  /**
   * @param vnni with AVX-512's products of four bytes; otherwise AVX2's of two
   */
  static NativePanelProducts ofBytes(boolean vnni) {
    int maxRows = ByteProductsCode.maxRows(vnni);
    return new NativePanelProducts(
        maxRows,
        PackedBytes.GROUP,
        NativeCode.byRows(vnni, maxRows, (code, rows) -> ByteProductsCode.write(code, vnni, rows)));
  }

  /**
   * @param wide with 512-bit vectors; otherwise 256
   */
  static NativePanelProducts ofFloats(boolean wide) {
    int maxRows = FloatProductsCode.maxRows(wide);
    return new NativePanelProducts(
        maxRows, 1, NativeCode.byRows(wide, maxRows, FloatProductsCode::panel));
  }

  /** Nothing where the processor or the system is another. */
  static Optional<PanelProducts> ofBytes() {
    Set<String> features = NativeCode.FEATURES;
    if (features.containsAll(List.of("avx512f", "avx512_vnni"))) {
      return Optional.of(ofBytes(true));
    }
    return features.contains("avx2") ? Optional.of(ofBytes(false)) : Optional.empty();
  }

  /** Nothing where the processor or the system is another. */
  static Optional<PanelProducts> ofFloats() {
    Set<String> features = NativeCode.FEATURES;
    if (features.contains("avx512f")) {
      return Optional.of(ofFloats(true));
    }
    return features.containsAll(List.of("avx2", "fma"))
        ? Optional.of(ofFloats(false))
        : Optional.empty();
  }

  @Override
  public int maxRows() {
    return maxRows;
  }

  @Override
  public void multiply(
      int count, long rows, long rowBytes, long panel, int in, long scales, long to, long toBytes) {
    code.call(count, rows, rowBytes, panel, in / step, to, toBytes, scales, 0, 0);
  }
}
