package io.epidote.engine.kernel;

import io.epidote.engine.kernel.KernelContext.Piece;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLongArray;
import org.jspecify.annotations.Nullable;

/**
 * Pieces of work that some workers do. Each worker has a run of pieces and takes them in order, so
 * that one follows another in memory; one that is done takes from the end of what others have left,
 * so that a late one holds nobody up.
 */
final class Shares {
  /** Longs of a line of the cache: workers do not write to each other's. */
  private static final int LINE = 8;

  private final int workers;

  /** What each worker has left of its share: the first piece and the end, 32 bits each. */
  private final AtomicLongArray left;

  /** Pieces that are not done. */
  private final AtomicInteger open = new AtomicInteger();

  private volatile @Nullable Piece work;
  private volatile @Nullable Throwable failure;

  Shares(int workers) {
    this.workers = workers;
    this.left = new AtomicLongArray(workers * LINE);
  }

  /** Makes pieces 0 to {@code count - 1} known to all workers. All before must be done. */
  void deal(int count, Piece piece) {
    work = piece;
    open.set(count);
    for (int worker = 0; worker < workers; worker++) {
      left.set(
          worker * LINE,
          (long) first(count, worker, workers) << Integer.SIZE | first(count, worker + 1, workers));
    }
  }

  /** The first piece of a worker's own run, which ends where the next one's begins. */
  static int first(int count, int worker, int workers) {
    return (int) ((long) count * worker / workers);
  }

  /** Whether pieces are not done, although perhaps begun. */
  boolean open() {
    return open.get() > 0;
  }

  /**
   * Does pieces until all are begun.
   *
   * @return whether there was one
   */
  boolean take(int worker) {
    int done = 0;
    for (int i = next(worker); i >= 0; i = next(worker)) {
      // A piece that is begun keeps its work from being replaced, so that it is read after it.
      Piece piece = work;
      try {
        if (piece != null) {
          piece.run(i, worker);
        }
      } catch (Throwable e) {
        failure = e;
      }
      done++;
    }
    if (done > 0) {
      open.addAndGet(-done);
    }
    return done > 0;
  }

  /** To be called when all is done. Throws what a piece threw. */
  void end() throws Throwable {
    work = null;
    Throwable thrown = failure;
    if (thrown != null) {
      failure = null;
      throw thrown;
    }
  }

  /** A worker's next piece, or -1 when all are begun. */
  private int next(int worker) {
    for (int i = 0; i < workers; i++) {
      int owner = (worker + i) % workers * LINE;
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
}
