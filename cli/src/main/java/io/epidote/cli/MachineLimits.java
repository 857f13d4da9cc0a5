package io.epidote.cli;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorSpecies;

/** What the machine could do at best on a number of threads: the roofline of a model's speed. */
final class MachineLimits implements AutoCloseable {
  private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Long> LONGS = LongVector.SPECIES_PREFERRED;

  /** Several times the largest last-level cache. */
  private static final long READ_BYTES = 256L << 20;

  private static final int READ_PIECE = 1 << 20;

  /** A pass takes about 10 ms, so that one interruption would count for much. */
  private static final int READ_PASSES = 7;

  private static final int FMA_ROUNDS = 40_000_000;

  /** Independent sums, enough to hide an FMA's latency on two units. */
  private static final int FMA_CHAINS = 10;

  private final int threads;
  private final ExecutorService pool;
  private final Arena arena = Arena.ofShared();
  private final List<MemorySegment> memory = new ArrayList<>();

  MachineLimits(int threads) {
    this.threads = threads;
    this.pool = Executors.newFixedThreadPool(threads);
    for (int thread = 0; thread < threads; thread++) {
      memory.add(arena.allocate(READ_BYTES, 64).fill((byte) 1));
    }
    // The compiler needs a few turns before the loops run as they should.
    for (int i = 0; i < 3; i++) {
      fmaGflops();
      readGigabytes();
    }
  }

  /** Fused multiply-adds of float32 in registers, 10^9 operations a second, two for each. */
  double fmaGflops() {
    double seconds = seconds(thread -> fma(1 + thread));
    return 2.0 * threads * FMA_ROUNDS * FMA_CHAINS * FLOATS.length() / seconds / 1e9;
  }

  /**
   * Sequential reading of memory that no cache holds, 10^9 bytes a second: the median of some
   * passes.
   */
  double readGigabytes() {
    double[] passes = new double[READ_PASSES];
    for (int pass = 0; pass < READ_PASSES; pass++) {
      passes[pass] = seconds(thread -> read(memory.get(thread)));
    }
    Arrays.sort(passes);
    return (double) threads * READ_BYTES / passes[READ_PASSES / 2] / 1e9;
  }

  /** Work of one thread; the result keeps it from being optimised away. */
  @FunctionalInterface
  private interface Work {
    double run(int thread);
  }

  private double seconds(Work work) {
    List<Callable<Double>> tasks = new ArrayList<>();
    for (int thread = 0; thread < threads; thread++) {
      int index = thread;
      tasks.add(() -> work.run(index));
    }
    long start = System.nanoTime();
    double sum = 0;
    try {
      for (Future<Double> done : pool.invokeAll(tasks)) {
        sum += done.get();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("The measurement was interrupted", e);
    } catch (ExecutionException e) {
      throw new IllegalStateException("The measurement failed: " + e.getCause(), e);
    }
    double seconds = (System.nanoTime() - start) / 1e9;
    if (Double.isNaN(sum)) {
      throw new IllegalStateException("The measurement's sum is not a number");
    }
    return seconds;
  }

  private static double fma(float seed) {
    FloatVector factor = FloatVector.broadcast(FLOATS, 0.5f);
    FloatVector term = FloatVector.broadcast(FLOATS, seed);
    FloatVector a = term;
    FloatVector b = term;
    FloatVector c = term;
    FloatVector d = term;
    FloatVector e = term;
    FloatVector f = term;
    FloatVector g = term;
    FloatVector h = term;
    FloatVector i = term;
    FloatVector j = term;
    for (int round = 0; round < FMA_ROUNDS; round++) {
      a = a.fma(factor, term);
      b = b.fma(factor, term);
      c = c.fma(factor, term);
      d = d.fma(factor, term);
      e = e.fma(factor, term);
      f = f.fma(factor, term);
      g = g.fma(factor, term);
      h = h.fma(factor, term);
      i = i.fma(factor, term);
      j = j.fma(factor, term);
    }
    return a.add(b).add(c).add(d).add(e).add(f).add(g).add(h).add(i).add(j).lane(0);
  }

  private static double read(MemorySegment segment) {
    double sum = 0;
    for (long at = 0; at < READ_BYTES; at += READ_PIECE) {
      sum += readPiece(segment, at);
    }
    return sum;
  }

  /** A method of its own, so that it is compiled as a whole and not as a loop that is running. */
  private static long readPiece(MemorySegment segment, long from) {
    int bytes = LONGS.vectorByteSize();
    LongVector a = LongVector.zero(LONGS);
    LongVector b = a;
    LongVector c = a;
    LongVector d = a;
    for (int i = 0; i < READ_PIECE; i += 4 * bytes) {
      long at = from + i;
      a = a.add(load(segment, at));
      b = b.add(load(segment, at + bytes));
      c = c.add(load(segment, at + 2L * bytes));
      d = d.add(load(segment, at + 3L * bytes));
    }
    return a.add(b).add(c).add(d).lane(0);
  }

  private static LongVector load(MemorySegment segment, long at) {
    return LongVector.fromMemorySegment(LONGS, segment, at, ByteOrder.nativeOrder());
  }

  @Override
  public void close() {
    pool.shutdown();
    pool.close();
    arena.close();
  }
}
