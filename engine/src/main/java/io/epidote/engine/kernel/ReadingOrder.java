package io.epidote.engine.kernel;

import java.util.HashMap;
import java.util.Map;

/**
 * Which matrix a session reads after which, known from the step before: every step reads the same
 * ones. At a few rows a step memory is what takes the time, so that nobody should wait for the
 * beginning of a matrix, and nothing should be fetched that is not read. Of one thread.
 */
final class ReadingOrder {
  /**
   * A matrix in memory.
   *
   * @param weights its address, 0 when none is known
   */
  record Matrix(long weights, int panels, long panelBytes) {
    static final Matrix NONE = new Matrix(0, 0, 0);

    long panel(int index) {
      return weights + index * panelBytes;
    }

    /** Where what a worker reads first begins. */
    long start(int worker, int workers) {
      return panel(Shares.first(panels, worker, workers));
    }
  }

  private final Map<Long, Matrix> followers = new HashMap<>();
  private Matrix last = Matrix.NONE;

  /** Notes that a matrix is read now, and tells which one was read after it the last time. */
  Matrix after(Matrix read) {
    if (!read.equals(followers.get(last.weights()))) {
      followers.put(last.weights(), read);
    }
    last = read;
    return followers.getOrDefault(read.weights(), Matrix.NONE);
  }
}
