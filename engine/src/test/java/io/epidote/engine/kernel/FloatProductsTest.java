package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.AttentionShape.BLOCK_TOKENS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Every implementation that runs here gives the bits of fused sums in order. */
final class FloatProductsTest {
  private static final List<Integer> WIDTHS = List.of(32, 64, 72, 50, 576);
  private static final int STRIDE = 2 * BLOCK_TOKENS + 3;

  @Test
  void generatedForAvx512() {
    assumeTrue(NativeCode.FEATURES.contains("avx512f"));
    matchesPlainSums(new NativeFloatProducts(true));
  }

  @Test
  void generatedForAvx2() {
    assumeTrue(NativeCode.FEATURES.containsAll(List.of("avx2", "fma")));
    matchesPlainSums(new NativeFloatProducts(false));
  }

  @Test
  void portable() {
    matchesPlainSums(new PortableFloatProducts());
  }

  private static void matchesPlainSums(FloatProducts products) {
    Random random = new Random(3);
    for (int width : WIDTHS) {
      for (int count = 1; count <= products.maxRows(); count++) {
        scores(products, random, width, count);
        contexts(products, random, width, count, 1 + random.nextInt(BLOCK_TOKENS));
      }
    }
  }

  private static void scores(FloatProducts products, Random random, int width, int count) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment queries = floats(arena, random, count * width);
      MemorySegment keys = floats(arena, random, 2 * BLOCK_TOKENS * width);
      MemorySegment to = floats(arena, random, (count + Rows.TILE) * STRIDE);
      long keys1 = keys.address() + 4L * BLOCK_TOKENS * width;
      products.scores(
          count, queries.address(), width, keys.address(), keys1, 0, 0, to.address(), 4 * STRIDE);
      for (int r = 0; r < count; r++) {
        for (int token = 0; token < 2 * BLOCK_TOKENS; token++) {
          float sum = 0;
          for (int i = 0; i < width; i++) {
            int key = (token / BLOCK_TOKENS * width + i) * BLOCK_TOKENS + token % BLOCK_TOKENS;
            sum = Math.fma(at(queries, r * width + i), at(keys, key), sum);
          }
          assertThat(at(to, r * STRIDE + token))
              .as("row %d of %d, token %d, width %d", r, count, token, width)
              .isEqualTo(sum);
        }
      }
    }
  }

  private static void contexts(
      FloatProducts products, Random random, int width, int count, int tokens) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment shares = floats(arena, random, (count + Rows.TILE) * STRIDE);
      MemorySegment values = floats(arena, random, BLOCK_TOKENS * width);
      // Tokens that are not asked for must not be read into a sum.
      for (int i = tokens * width; i < BLOCK_TOKENS * width; i++) {
        values.setAtIndex(ValueLayout.JAVA_FLOAT, i, Float.NaN);
      }
      MemorySegment contexts = floats(arena, random, (count + Rows.TILE) * width);
      float[] expected = new float[count * width];
      for (int r = 0; r < count; r++) {
        for (int c = 0; c < width; c++) {
          float sum = at(contexts, r * width + c);
          for (int token = 0; token < tokens; token++) {
            sum = Math.fma(at(shares, r * STRIDE + token), at(values, token * width + c), sum);
          }
          expected[r * width + c] = sum;
        }
      }
      products.contexts(
          count,
          shares.address(),
          4 * STRIDE,
          values.address(),
          tokens,
          4L * width,
          width,
          0,
          contexts.address());
      for (int i = 0; i < expected.length; i++) {
        assertThat(at(contexts, i))
            .as("row %d of %d, column %d of %d", i / width, count, i % width, width)
            .isEqualTo(expected[i]);
      }
    }
  }

  @Test
  void panelsGeneratedForAvx512() {
    assumeTrue(NativeCode.FEATURES.contains("avx512f"));
    panels(NativePanelProducts.ofFloats(true));
  }

  @Test
  void panelsGeneratedForAvx2() {
    assumeTrue(NativeCode.FEATURES.containsAll(List.of("avx2", "fma")));
    panels(NativePanelProducts.ofFloats(false));
  }

  @Test
  void portablePanels() {
    panels(new PortableRowProducts());
  }

  private static void panels(PanelProducts products) {
    Random random = new Random(5);
    for (int in : List.of(1, 7, 64, 576)) {
      for (int count = 1; count <= products.maxRows(); count++) {
        panel(products, random, in, count);
      }
    }
  }

  private static void panel(PanelProducts products, Random random, int in, int count) {
    int columns = PackedMatrix.COLUMNS;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment rows = floats(arena, random, count * in);
      MemorySegment panel = floats(arena, random, columns * in);
      MemorySegment to = floats(arena, random, count * STRIDE);
      products.multiply(
          count, rows.address(), 4L * in, panel.address(), in, 0, to.address(), 4L * STRIDE);
      for (int r = 0; r < count; r++) {
        for (int c = 0; c < columns; c++) {
          float sum = 0;
          for (int i = 0; i < in; i++) {
            sum = Math.fma(at(rows, r * in + i), at(panel, i * columns + c), sum);
          }
          assertThat(at(to, r * STRIDE + c))
              .as("row %d of %d, column %d, %d inputs", r, count, c, in)
              .isEqualTo(sum);
        }
      }
    }
  }

  private static MemorySegment floats(Arena arena, Random random, int count) {
    MemorySegment floats = arena.allocate(4L * count, 64);
    for (int i = 0; i < count; i++) {
      floats.setAtIndex(ValueLayout.JAVA_FLOAT, i, random.nextFloat() - 0.5f);
    }
    return floats;
  }

  private static float at(MemorySegment floats, int index) {
    return floats.getAtIndex(ValueLayout.JAVA_FLOAT, index);
  }
}
