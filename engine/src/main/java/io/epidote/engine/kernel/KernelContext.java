package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/**
 * A node's inputs and outputs while its kernel runs. One for a session, which one thread uses.
 * Addresses are valid until the kernel returns.
 */
public final class KernelContext {
  private static final int MAX_DIMENSIONS = 4;

  private final OrtApi api;
  private final MemorySegment result;
  private final MemorySegment dimensions;
  private final MemorySegment workerFunction;
  private final int threads;
  private MemorySegment context = MemorySegment.NULL;
  private @Nullable IntConsumer work;
  private volatile @Nullable Throwable failure;

  KernelContext(OrtApi api, Arena arena, int threads, UpcallStubs stubs) {
    this.api = api;
    this.result = arena.allocate(ADDRESS);
    this.dimensions = arena.allocate(JAVA_LONG, MAX_DIMENSIONS);
    this.threads = threads;
    this.workerFunction = stubs.worker(this);
  }

  void enter(MemorySegment context) {
    this.context = context;
  }

  /** The address of an input's first element. */
  public long input(int index) throws Throwable {
    return data(value(index));
  }

  /** The number of an input's elements. */
  public long elements(int index) throws Throwable {
    api.check((MemorySegment) api.tensorShape.invokeExact(value(index), result));
    MemorySegment shape = result.get(ADDRESS, 0);
    try {
      api.check((MemorySegment) api.elementCount.invokeExact(shape, result));
      return result.get(JAVA_LONG, 0);
    } finally {
      api.releaseTensorShape.invokeExact(shape);
    }
  }

  private MemorySegment value(int index) throws Throwable {
    api.check((MemorySegment) api.getInput.invokeExact(context, (long) index, result));
    return result.get(ADDRESS, 0);
  }

  private long data(MemorySegment value) throws Throwable {
    api.check((MemorySegment) api.tensorData.invokeExact(value, result));
    return result.get(ADDRESS, 0).address();
  }

  /** The address of an output's first element, after giving it a shape. */
  public long output(int index, long... shape) throws Throwable {
    for (int i = 0; i < shape.length; i++) {
      dimensions.setAtIndex(JAVA_LONG, i, shape[i]);
    }
    api.check(
        (MemorySegment)
            api.getOutput.invokeExact(
                context, (long) index, dimensions, (long) shape.length, result));
    return data(result.get(ADDRESS, 0));
  }

  /** How many threads {@link #parallel} can use. */
  public int threads() {
    return threads;
  }

  /**
   * Runs {@code work} once for each worker, 0 to {@link #threads()} - 1, on ONNX Runtime's threads
   * and this one, and waits for all. Whether they run at once is not promised: workers share work
   * out among themselves.
   */
  public void parallel(IntConsumer work) throws Throwable {
    this.work = work;
    api.check(
        (MemorySegment)
            api.parallelFor.invokeExact(
                context, workerFunction, (long) threads, 0L, MemorySegment.NULL));
    this.work = null;
    Throwable thrown = failure;
    if (thrown != null) {
      failure = null;
      throw thrown;
    }
  }

  /** Called by ONNX Runtime. Nothing may be thrown into native code. */
  @SuppressWarnings("UnusedVariable") // the parameters are those of the C function
  void worker(MemorySegment userData, long index) {
    try {
      IntConsumer current = work;
      if (current != null) {
        current.accept((int) index);
      }
    } catch (Throwable e) {
      failure = e;
    }
  }
}
