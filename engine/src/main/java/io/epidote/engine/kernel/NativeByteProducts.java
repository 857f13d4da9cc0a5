package io.epidote.engine.kernel;

import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Code for x86-64 with AVX-512 VNNI or AVX2, generated when it is first used. */
final class NativeByteProducts implements ByteProducts {
  private final int maxRows;
  private final NativeCode code;

  NativeByteProducts(boolean vnni) {
    this.maxRows = ByteProductsCode.maxRows(vnni);
    this.code =
        NativeCode.byRows(vnni, maxRows, (code, rows) -> ByteProductsCode.write(code, vnni, rows));
  }

  /** Nothing where the processor or the system is another. */
  static Optional<ByteProducts> of() {
    Set<String> features = NativeCode.features();
    if (features.containsAll(List.of("avx512f", "avx512_vnni"))) {
      return Optional.of(new NativeByteProducts(true));
    }
    return features.contains("avx2")
        ? Optional.of(new NativeByteProducts(false))
        : Optional.empty();
  }

  @Override
  public int maxRows() {
    return maxRows;
  }

  @Override
  public void multiply(
      int count, long rows, long rowBytes, long panel, int in, long scales, long to, long toBytes) {
    code.call(
        count,
        rows,
        rowBytes,
        panel,
        in / PackedBytes.GROUP,
        to,
        toBytes,
        scales,
        PackedBytes.panelBytes(in),
        0);
  }
}
