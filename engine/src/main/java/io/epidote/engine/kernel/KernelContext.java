package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * A node's inputs and outputs while its kernel runs. One for a session, which one thread uses.
 * Addresses are valid until the kernel returns.
 */
public final class KernelContext implements AutoCloseable {
  private static final int MAX_DIMENSIONS = 4;

  private final OrtApi api;
  private final MemorySegment result;
  private final MemorySegment dimensions;
  private final MemorySegment workerFunction;
  private final int threads;
  private MemorySegment context = MemorySegment.NULL;

  private final Shares shares;
  private final Optional<Team> team;

  KernelContext(OrtApi api, Arena arena, int threads, boolean ownThreads, UpcallStubs stubs) {
    this.api = api;
    this.result = arena.allocate(ADDRESS);
    this.dimensions = arena.allocate(JAVA_LONG, MAX_DIMENSIONS);
    this.threads = threads;
    this.shares = new Shares(threads);
    this.team = ownThreads ? Optional.of(new Team(shares, threads)) : Optional.empty();
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

  /** How many threads {@link #share} can use. */
  public int threads() {
    return threads;
  }

  /** A piece of work, done by one of {@link #threads()} workers. */
  @FunctionalInterface
  public interface Piece {
    void run(int piece, int worker);
  }

  /**
   * Runs pieces 0 to {@code count - 1} on the session's threads and this one, and waits for all;
   * who does what is said in {@link Shares}.
   */
  public void share(int count, Piece piece) throws Throwable {
    if (count <= 1 || threads == 1) {
      for (int i = 0; i < count; i++) {
        piece.run(i, 0);
      }
      return;
    }
    shares.deal(count, piece);
    if (team.isPresent()) {
      team.get().work();
    } else {
      api.parallelFor(context, workerFunction, threads);
    }
    shares.end();
  }

  /** What will be read next: workers fetch the beginnings of their shares while they wait. */
  void expect(ReadingOrder.Matrix next) {
    team.ifPresent(members -> members.expect(next));
  }

  /** Called by ONNX Runtime. Nothing may be thrown into native code. */
  @SuppressWarnings("UnusedVariable") // the parameters are those of the C function
  void worker(MemorySegment userData, long index) {
    shares.take((int) index);
  }

  /** A step begins. */
  void begin() {
    team.ifPresent(Team::begin);
  }

  /** The step has ended. */
  void end() {
    team.ifPresent(Team::end);
  }

  @Override
  public void close() {
    team.ifPresent(Team::close);
  }
}
