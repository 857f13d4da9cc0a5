package io.epidote.engine.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Every implementation that runs here gives the bits of sums in plain integers. */
final class ByteProductsTest {
  private static final List<Integer> INS = List.of(4, 8, 64, 100, 576, 1536);

  @Test
  void generatedForVnni() {
    assumeTrue(NativeCode.FEATURES.contains("avx512_vnni"));
    matchesPlainSums(NativePanelProducts.ofBytes(true));
  }

  @Test
  void generatedForAvx2() {
    assumeTrue(NativeCode.FEATURES.contains("avx2"));
    matchesPlainSums(NativePanelProducts.ofBytes(false));
  }

  @Test
  void portable() {
    matchesPlainSums(new PortableByteProducts());
  }

  @Test
  void whatCannotBePackedIsRefused() {
    assertThatThrownBy(() -> new PackedBytes(50, 32))
        .hasMessageContaining("multiple of 4 values, not 50");
  }

  private static void matchesPlainSums(PanelProducts products) {
    Random random = new Random(3);
    for (int in : INS) {
      for (int count = 1; count <= products.maxRows(); count++) {
        matchesPlainSums(products, random, in, count);
      }
    }
  }

  private static void matchesPlainSums(PanelProducts products, Random random, int in, int count) {
    int columns = PackedBytes.COLUMNS;
    int rowBytes = in + 12;
    int toBytes = columns * Float.BYTES + 20;
    try (Arena arena = Arena.ofConfined()) {
      PackedBytes packed = new PackedBytes(in, columns);
      MemorySegment panel = arena.allocate(packed.bytes(), 64);
      byte[][] weights = new byte[columns][in];
      float[] columnScales = new float[columns];
      for (int c = 0; c < columns; c++) {
        for (int i = 0; i < in; i++) {
          // The extremes together are what saturates first.
          weights[c][i] =
              (byte) (c == 0 ? PackedBytes.RANGE : random.nextInt(127) - PackedBytes.RANGE);
        }
        columnScales[c] = random.nextFloat();
        packed.put(panel, c, weights[c], columnScales[c]);
      }
      MemorySegment rows = arena.allocate((long) count * rowBytes);
      MemorySegment scales = arena.allocate((long) count * Float.BYTES);
      for (int r = 0; r < count; r++) {
        for (int i = 0; i < in; i++) {
          rows.set(
              ValueLayout.JAVA_BYTE,
              (long) r * rowBytes + i,
              (byte) (r == 0 ? 255 : random.nextInt(256)));
        }
        scales.setAtIndex(ValueLayout.JAVA_FLOAT, r, random.nextFloat());
      }
      MemorySegment to = arena.allocate((long) count * toBytes);
      to.fill((byte) 0x55);

      products.multiply(
          count,
          rows.address(),
          rowBytes,
          panel.address(),
          in,
          scales.address(),
          to.address(),
          toBytes);

      for (int r = 0; r < count; r++) {
        for (int c = 0; c < columns; c++) {
          int sum = 0;
          for (int i = 0; i < in; i++) {
            int activation = rows.get(ValueLayout.JAVA_BYTE, (long) r * rowBytes + i) & 0xFF;
            sum += (activation - Activations.ZERO) * weights[c][i];
          }
          float expected =
              (float) sum
                  * (columnScales[c] / Activations.RANGE)
                  * scales.getAtIndex(ValueLayout.JAVA_FLOAT, r);
          assertThat(to.get(ValueLayout.JAVA_FLOAT_UNALIGNED, (long) r * toBytes + 4L * c))
              .as("row %d of %d, column %d, %d inputs", r, count, c, in)
              .isEqualTo(expected);
        }
        // Between the rows nothing is written.
        assertThat(to.get(ValueLayout.JAVA_INT_UNALIGNED, (long) r * toBytes + 4L * columns))
            .isEqualTo(0x55555555);
      }
    }
  }
}
