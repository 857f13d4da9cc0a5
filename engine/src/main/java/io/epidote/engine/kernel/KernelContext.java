package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicLongArray;
import org.jspecify.annotations.Nullable;

/**
 * A node's inputs and outputs while its kernel runs. One for a session, which one thread uses.
 * Addresses are valid until the kernel returns.
 */
public final class KernelContext {
  private static final int MAX_DIMENSIONS = 4;

  /** Longs of a line of the cache: workers do not write to each other's. */
  private static final int LINE = 8;

  private final OrtApi api;
  private final MemorySegment result;
  private final MemorySegment dimensions;
  private final MemorySegment workerFunction;
  private final int threads;
  private MemorySegment context = MemorySegment.NULL;

  /** What each worker has left of its share: the first piece and the end, 32 bits each. */
  private final AtomicLongArray left;

  private volatile @Nullable Piece work;
  private volatile @Nullable Throwable failure;

  KernelContext(OrtApi api, Arena arena, int threads, UpcallStubs stubs) {
    this.api = api;
    this.result = arena.allocate(ADDRESS);
    this.dimensions = arena.allocate(JAVA_LONG, MAX_DIMENSIONS);
    this.threads = threads;
    this.left = new AtomicLongArray(threads * LINE);
    this.workerFunction = stubs.worker(this);
  }

  void enter(MemorySegment context) {
    this.context = context;
  }

  /** The address of an input's first element; 0 for an optional input that is left out. */
  public long input(int index) throws Throwable {
    MemorySegment value = value(index);
    return value.address() == 0 ? 0 : data(value);
  }

  /** The number of an input's elements. */
  public long elements(int index) throws Throwable {
    return api.elementCount(value(index), result);
  }

  private MemorySegment value(int index) throws Throwable {
    api.getInput(context, index, result);
    return result.get(ADDRESS, 0);
  }

  private long data(MemorySegment value) throws Throwable {
    api.tensorData(value, result);
    return result.get(ADDRESS, 0).address();
  }

  /**
   * The address of an output's first element, after giving it a shape; 0 for an optional output
   * that nobody reads.
   */
  public long output(int index, long... shape) throws Throwable {
    for (int i = 0; i < shape.length; i++) {
      dimensions.setAtIndex(JAVA_LONG, i, shape[i]);
    }
    api.getOutput(context, index, dimensions, shape.length, result);
    MemorySegment value = result.get(ADDRESS, 0);
    return value.address() == 0 ? 0 : data(value);
  }

  /** How many threads {@link #parallel} can use. */
  public int threads() {
    return threads;
  }

  /** A piece of work, done by one of {@link #threads()} workers. */
  @FunctionalInterface
  public interface Piece {
    void run(int piece, int worker);
  }

  /**
   * Runs pieces 0 to {@code count - 1} on ONNX Runtime's threads and this one, and waits for all.
   * Each worker has a run of pieces and takes them in order, so that one follows another in memory;
   * one that is done takes from the end of what others have left, so that a late one holds nobody
   * up.
   */
  public void share(int count, Piece piece) throws Throwable {
    if (count <= 1 || threads == 1) {
      for (int i = 0; i < count; i++) {
        piece.run(i, 0);
      }
      return;
    }
    for (int worker = 0; worker < threads; worker++) {
      left.set(
          worker * LINE,
          (long) count * worker / threads << Integer.SIZE | (long) count * (worker + 1) / threads);
    }
    work = piece;
    api.parallelFor(context, workerFunction, threads);
    work = null;
    Throwable thrown = failure;
    if (thrown != null) {
      failure = null;
      throw thrown;
    }
  }

  /** A worker's next piece, or -1 when none is left. */
  private int take(int worker) {
    for (int i = 0; i < threads; i++) {
      int owner = (worker + i) % threads * LINE;
      while (true) {
        long range = left.get(owner);
        long first = range >>> Integer.SIZE;
        long end = range & 0xFFFFFFFFL;
        if (first >= end) {
          break;
        }
        long rest = i == 0 ? range + (1L << Integer.SIZE) : range - 1;
        if (left.compareAndSet(owner, range, rest)) {
          return (int) (i == 0 ? first : end - 1);
        }
      }
    }
    return -1;
  }

  /** Called by ONNX Runtime. Nothing may be thrown into native code. */
  @SuppressWarnings("UnusedVariable") // the parameters are those of the C function
  void worker(MemorySegment userData, long index) {
    try {
      Piece current = work;
      if (current != null) {
        for (int i = take((int) index); i >= 0; i = take((int) index)) {
          current.run(i, (int) index);
        }
      }
    } catch (Throwable e) {
      failure = e;
    }
  }
}
