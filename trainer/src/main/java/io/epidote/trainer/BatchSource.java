package io.epidote.trainer;

import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.function.Supplier;

/**
 * Draws training batches on the fly, ahead of one worker, on a thread of its own. Every stage and
 * every worker has its own seed: with a shared one a later stage would draw the scenes of an
 * earlier one again.
 */
final class BatchSource<T> implements AutoCloseable {
  private final BlockingQueue<T> queue = new ArrayBlockingQueue<>(3);
  private final Thread thread;

  BatchSource(Supplier<T> batches) {
    this.thread = Thread.ofPlatform().daemon().name("draw").unstarted(() -> fill(batches));
    thread.start();
  }

  /** The next batch; waits for it to be drawn. */
  T next() throws InterruptedException {
    return queue.take();
  }

  @Override
  public void close() {
    thread.interrupt();
  }

  private void fill(Supplier<T> batches) {
    try {
      while (true) {
        queue.put(batches.get());
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt(); // closed
    }
  }
}
