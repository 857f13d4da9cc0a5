package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.AttentionShape.BLOCK_TOKENS;
import static org.assertj.core.api.Assertions.assertThat;

import com.sun.management.ThreadMXBean;
import java.lang.foreign.Arena;
import java.lang.management.ManagementFactory;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Vectors of a compiled kernel are in registers: one on the heap is a loop ten times slower. */
final class KernelAllocationTest {
  private static final int CALLS = 2000;
  private static final int ROUNDS = 50;

  /** A few objects a call are fine, a few for every vector are not. */
  private static final long FEW_BYTES = 512;

  private static final long F = Float.BYTES;
  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  private static final Arena ARENA = Arena.ofAuto();
  private static long a;
  private static long b;
  private static long c;
  private static long d;

  @BeforeAll
  static void allocate() {
    a = floats();
    b = floats();
    c = floats();
    d = floats();
    KernelWarmUp.ofDecoder().join();
    KernelWarmUp.ofTower().join();
  }

  private static long floats() {
    return ARENA.allocate((1 << 16) * F, 64).address();
  }

  /** Whole pairs of vectors, an odd vector, and less than one. */
  @ParameterizedTest
  @ValueSource(ints = {64, 80, 72, 50, 1536})
  void kernelsAllocateNothingForTheirVectors(int width) {
    int row = 16 * BLOCK_TOKENS;
    float[] angles = new float[width];
    AttentionShape.Rotation rotation = new AttentionShape.Rotation(0, width, angles, angles);
    Map<String, Runnable> kernels =
        new TreeMap<>(
            Map.of(
                "scores",
                () -> Rows.scores(a, a, a, a, b, b, width, c, c, BLOCK_TOKENS),
                "exponentials",
                () -> Rows.exponentials(c, 3, row - 5, row),
                "contexts",
                () -> Rows.contexts(c, BLOCK_TOKENS, a, BLOCK_TOKENS, width * 4L, width, d),
                "rotate",
                () -> Rows.rotate(a, b, width, rotation, 0, 1),
                "addScaled",
                () -> Rows.addScaled(d, 1, false, b, width),
                "scale",
                () -> Rows.scale(d, b, 1, width),
                "swiGlu",
                () -> Activations.swiGlu(a, b, width, c),
                "addAndNorm",
                () -> Activations.addAndNorm(a, b, c, 1, width, d, d + width * F),
                "quantize",
                () -> Activations.quantize(a, width, c, d)));
    kernels.putAll(towerKernels(width));
    kernels.forEach((name, kernel) ->
        assertThat(bytesPerCall(kernel))
            .as("bytes that a call of %s leaves on the heap", name)
            .isLessThan(FEW_BYTES));
  }

  private static Map<String, Runnable> towerKernels(int width) {
    Map<String, Runnable> kernels = new TreeMap<>();
    kernels.put("admitKey", () -> TileRows.admitKey(a, width, b, 1));
    kernels.put("admitValue", () -> TileRows.admitValue(a, b, width, c, 1, 0));
    kernels.put("admitQuery", () -> TileRows.admitQuery(a, b, 1, width, c));
    kernels.put("largest", () -> TileRows.largest(c, TileScratch.stride(width)));
    kernels.put("powersOfTwo", () -> TileRows.powersOfTwo(c, TileScratch.stride(width), 1));
    kernels.put("product", () -> Panels.product(a, width, b, width, c, 0, d, Panels.COLUMNS));
    kernels.put("narrowProduct", () -> Panels.narrowProduct(a, width, b, width, d, Panels.COLUMNS));
    kernels.put("add", () -> TowerRows.add(a, b, c, width, d));
    kernels.put("norm", () -> TowerRows.norm(a, b, c, 1, width, d));
    kernels.put("gate", () -> TowerRows.gate(a, b, 1, 1, width, d));
    kernels.put("gelu", () -> TowerRows.gelu(a, b, width, d));
    kernels.put("relu", () -> TowerRows.relu(a, b, width, d));
    return kernels;
  }

  /**
   * The least over rounds: compilers work in the background, and until they are done (again, for a
   * new width) calls leave objects behind that a compiled call does not.
   */
  private static long bytesPerCall(Runnable kernel) {
    long least = Long.MAX_VALUE;
    for (int round = 0; round < ROUNDS && least >= FEW_BYTES; round++) {
      least = Math.min(least, bytesOf(kernel) / CALLS);
    }
    return least;
  }

  private static long bytesOf(Runnable kernel) {
    long before = THREADS.getCurrentThreadAllocatedBytes();
    for (int i = 0; i < CALLS; i++) {
      kernel.run();
    }
    return THREADS.getCurrentThreadAllocatedBytes() - before;
  }

  @Test
  void sumsDoNotDependOnCompilation() {
    for (int i = 0; i < Memory.LANES; i++) {
      Memory.put(a + i * F, 1f / (i + 3));
    }
    float first = Memory.sum(Memory.load(a));
    for (int i = 0; i < 20_000; i++) {
      assertThat(Memory.sum(Memory.load(a))).isEqualTo(first);
    }
  }
}
