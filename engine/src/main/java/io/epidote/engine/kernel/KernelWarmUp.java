package io.epidote.engine.kernel;

import static io.epidote.engine.kernel.AttentionShape.BLOCK_TOKENS;

import java.lang.foreign.Arena;
import java.util.concurrent.CompletableFuture;

/**
 * Runs every kernel until the JVM has compiled it. Before that a vector operation is a few
 * microseconds of method calls, and a node's first request would take seconds.
 */
public final class KernelWarmUp {
  /**
   * Enough for the second compiler with the thresholds that {@code kernels.compile} sets for these
   * loops (a fiftieth of the JVM's: 100 calls), and a little more.
   */
  private static final int ROUNDS = 200;

  /** With two vectors, one, and a part of one, whatever the machine's vectors are. */
  private static final int WIDTH = 32 + 16 + 2;

  private static final int ROW = 4 * BLOCK_TOKENS;

  private static final AttentionShape.Rotation ROTATION =
      new AttentionShape.Rotation(2, WIDTH - 4, new float[WIDTH], new float[WIDTH]);

  private KernelWarmUp() {}

  /** Starts the loops of a decoder on a thread of their own; models load meanwhile. */
  public static CompletableFuture<Void> ofDecoder() {
    return start("decoder-warm-up", KernelWarmUp::decoder);
  }

  /** Likewise those of a vision tower. */
  public static CompletableFuture<Void> ofTower() {
    return start("tower-warm-up", KernelWarmUp::tower);
  }

  /** Loops between four areas of memory. */
  @FunctionalInterface
  private interface Round {
    void run(int round, long a, long b, long c, long d);
  }

  private static CompletableFuture<Void> start(String name, Round rounds) {
    return CompletableFuture.runAsync(
        () -> {
          try (Arena arena = Arena.ofConfined()) {
            long a = floats(arena);
            long b = floats(arena);
            long c = floats(arena);
            long d = floats(arena);
            for (int round = 0; round < ROUNDS; round++) {
              rounds.run(round, a, b, c, d);
            }
          }
        },
        work -> Thread.ofPlatform().daemon().name(name).start(work));
  }

  private static void decoder(int round, long a, long b, long c, long d) {
    Rows.rotate(a, b, WIDTH, ROTATION, 0, 1);
    FloatProducts.BEST.scores(1, a, WIDTH, b, b, b, b, c, TileCode.BYTES);
    Rows.exponentials(c, round % 20, ROW - round % 5, ROW);
    FloatProducts.BEST.contexts(1, c, 0, a, BLOCK_TOKENS, WIDTH * (long) Float.BYTES, WIDTH, a, d);
    Rows.scale(d, b, 1, WIDTH);
    Rows.addScaled(d, 1, round % 2 == 0, b, WIDTH);
    Activations.swiGlu(a, b, WIDTH, c);
    Activations.addAndNorm(a, round % 4 == 0 ? 0 : b, c, 1, WIDTH, d, c);
    Activations.quantize(a, WIDTH, c, d);
  }

  /** The loops of a vision tower. */
  private static void tower(int round, long a, long b, long c, long d) {
    TileRows.admitKey(a, WIDTH, b, 1);
    TileRows.admitValue(a, b, WIDTH, c, 1, 0);
    TileRows.admitQuery(a, b, 1, WIDTH, c);
    TileRows.fill(c, ROW - 5);
    TileRows.largest(c, ROW);
    TileRows.powersOfTwo(c, ROW, 1);
    Panels.product(a, WIDTH, b, WIDTH, c, 0, d, Panels.COLUMNS);
    Panels.narrowProduct(a, WIDTH, b, WIDTH, d, Panels.COLUMNS);
    TowerRows.add(a, b, c, WIDTH, d);
    TowerRows.norm(a, b, c, 1, WIDTH, d);
    TowerRows.gate(a, b, 1, 1, WIDTH, d);
    TowerRows.gelu(a, b, WIDTH, d);
    TowerRows.relu(a, b, WIDTH, d);
  }

  private static long floats(Arena arena) {
    return arena.allocate((long) Rows.TILE * WIDTH * BLOCK_TOKENS * Float.BYTES).address();
  }
}
