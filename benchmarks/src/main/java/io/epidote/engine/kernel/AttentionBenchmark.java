package io.epidote.engine.kernel;

import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What attention does with the blocks of one sequence for a tile of four queries: the blocks are
 * scattered over a pool, as they are after a while. In this package for the loops themselves.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(
    value = 1,
    jvmArgsAppend = {"--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED"})
public class AttentionBenchmark {
  private static final int WIDTH = 64;
  private static final int BLOCK = AttentionShape.BLOCK_TOKENS;
  private static final long F = Float.BYTES;

  @Param({"256", "2048"})
  public int context;

  private final Arena arena = Arena.ofShared();
  private int stride;
  private long queries;
  private long scores;
  private long contexts;

  /** Addresses of the sequence's blocks, keys then values. */
  private long[] blocks = {};

  @Setup(Level.Trial)
  public void fill() {
    SplittableRandom random = new SplittableRandom(7);
    stride = context;
    queries = floats(random, Rows.TILE * WIDTH);
    scores = floats(random, Rows.TILE * stride);
    contexts = floats(random, Rows.TILE * WIDTH);
    int count = context / BLOCK;
    int blockFloats = 2 * BLOCK * WIDTH;
    long pool = floats(random, 4 * count * blockFloats);
    blocks =
        random
            .ints(0, 4 * count)
            .distinct()
            .limit(count)
            .mapToLong(id -> pool + id * (long) blockFloats * F)
            .toArray();
  }

  private long floats(SplittableRandom random, int count) {
    long address = arena.allocate(count * F, 64).address();
    for (int i = 0; i < count; i++) {
      Memory.put(address + i * F, (float) random.nextDouble(-1, 1));
    }
    return address;
  }

  /** Products with all keys. */
  @Benchmark
  public void scores() {
    int each = BLOCK / Memory.LANES;
    for (int v = 0; v < blocks.length * each; v += 2) {
      long to = scores + v * Memory.LANES * F;
      Rows.scores(
          queries,
          queries + WIDTH * F,
          queries + 2 * WIDTH * F,
          queries + 3 * WIDTH * F,
          blocks[v / each] + v % each * Memory.LANES * F,
          blocks[(v + 1) / each] + (v + 1) % each * Memory.LANES * F,
          WIDTH,
          to,
          to + Memory.LANES * F,
          stride);
    }
  }

  /** Sums over all values. */
  @Benchmark
  public void contexts() {
    Memory.clear(contexts, Rows.TILE * WIDTH);
    for (int b = 0; b < blocks.length; b++) {
      Rows.contexts(
          scores + b * BLOCK * F,
          stride,
          blocks[b] + BLOCK * WIDTH * F,
          BLOCK,
          WIDTH * F,
          WIDTH,
          contexts);
    }
  }

  /** All of it, with the softmax between. */
  @Benchmark
  public float attention() {
    scores();
    float sum = 0;
    for (int row = 0; row < Rows.TILE; row++) {
      sum += Rows.exponentials(scores + (long) row * stride * F, 0, context, stride);
    }
    contexts();
    return sum;
  }

  @TearDown(Level.Trial)
  public void free() {
    arena.close();
  }
}
