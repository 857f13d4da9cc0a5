package io.epidote.engine.kernel;

import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Code for x86-64 with AVX-512 or AVX2, generated when it is first used. */
final class NativeFloatProducts implements FloatProducts {
  private static final long F = Float.BYTES;

  private final int maxRows;
  private final NativeCode scores;
  private final NativeCode contexts;

  NativeFloatProducts(boolean wide) {
    this.maxRows = FloatProductsCode.maxRows(wide);
    this.scores = NativeCode.byRows(wide, maxRows, FloatProductsCode::scores);
    this.contexts = NativeCode.byRows(wide, maxRows, FloatProductsCode::contexts);
  }

  /** Nothing where the processor or the system is another. */
  static Optional<FloatProducts> of() {
    Set<String> features = NativeCode.FEATURES;
    if (features.contains("avx512f")) {
      return Optional.of(new NativeFloatProducts(true));
    }
    return features.containsAll(List.of("avx2", "fma"))
        ? Optional.of(new NativeFloatProducts(false))
        : Optional.empty();
  }

  @Override
  public int maxRows() {
    return maxRows;
  }

  @Override
  public void scores(
      int count,
      long queries,
      int width,
      long keys0,
      long keys1,
      long next0,
      long next1,
      long to,
      long toBytes) {
    scores.call(count, queries, width * F, keys0, width, next0, next1, keys1, to, toBytes);
  }

  @Override
  public void contexts(
      int count,
      long shares,
      long shareBytes,
      long values,
      int tokens,
      long rowBytes,
      int columns,
      long next,
      long contexts) {
    int floats = TileCode.BYTES / Float.BYTES;
    int column = 0;
    for (; column + floats <= columns; column += floats) {
      long to = contexts + column * F;
      this.contexts.call(
          count,
          shares,
          shareBytes,
          to,
          tokens,
          rowBytes,
          next + column * F,
          values + column * F,
          rowBytes,
          to);
    }
    if (column < columns) {
      Rows.narrowContexts(
          count,
          shares,
          (int) (shareBytes / F),
          values,
          tokens,
          rowBytes,
          columns,
          contexts,
          column);
    }
  }
}
