package io.epidote.cli.load;

import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Sends a number of requests of a workload and collects their answers. Requests are made ahead by a
 * thread of their own. In an open loop one is sent when it is due, however the server does, and its
 * times count from then: what a slow server, or this machine, makes it wait is not left out
 * (coordinated omission).
 */
public final class LoadRun {
  private static final int AHEAD = 64;
  private static final long TELL_NANOS = 100_000_000;

  /** Below that a thread is not woken in time; it looks at the clock instead. */
  private static final long SPIN_NANOS = 100_000;

  private final LoadTarget target;
  private final Workload workload;
  private final long seed;
  private final Consumer<String> progress;
  private final AtomicInteger running = new AtomicInteger();
  private final AtomicInteger failed = new AtomicInteger();
  private final ConcurrentLinkedQueue<Answer> answers = new ConcurrentLinkedQueue<>();
  private final AtomicInteger done = new AtomicInteger();
  private long told = System.nanoTime();

  /**
   * @param progress hears how far it is, often
   */
  public LoadRun(LoadTarget target, Workload workload, long seed, Consumer<String> progress) {
    this.target = target;
    this.workload = workload;
    this.seed = seed;
    this.progress = progress;
  }

  private record Made(LoadRequest request, LoadTarget.Prepared prepared) {}

  /** Runs and returns when every answer has ended, in whatever way. Used once. */
  public LoadLevel run(Arrivals arrivals, int count, Slo slo) throws InterruptedException {
    BlockingQueue<Made> made = new ArrayBlockingQueue<>(AHEAD);
    AtomicReference<@Nullable RuntimeException> defect = new AtomicReference<>();
    Thread maker =
        Thread.ofPlatform()
            .daemon()
            .name("load-requests")
            .start(() -> {
              try {
                for (int i = 0; i < count; i++) {
                  LoadRequest request = workload.next(i, count);
                  made.put(new Made(request, target.prepare(request)));
                }
              } catch (RuntimeException e) {
                defect.set(e);
              } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
              }
            });
    long started = System.nanoTime();
    Semaphore ended = new Semaphore(0);
    try {
      switch (arrivals) {
        case Arrivals.Clients(int clients) -> {
          Semaphore free = new Semaphore(clients);
          for (int i = 0; i < count; i++) {
            Made next = take(made, defect);
            while (!free.tryAcquire(100, TimeUnit.MILLISECONDS)) {
              tell(arrivals, count);
            }
            send(next, System.nanoTime(), ended, free);
            tell(arrivals, count);
          }
        }
        case Arrivals.Open open -> {
          SplittableRandom random = new SplittableRandom(seed);
          double due = 0;
          for (int i = 0; i < count; i++) {
            Made next = take(made, defect);
            if (i == 0) {
              // Making the first request takes long where pictures have to be drawn.
              started = System.nanoTime();
              due = started;
            }
            due += open.gap(i, next.request(), random) * 1e9;
            long at = (long) due;
            await(at, arrivals, count);
            send(next, at, ended, null);
          }
        }
      }
      while (!ended.tryAcquire(count, 100, TimeUnit.MILLISECONDS)) {
        tell(arrivals, count);
      }
    } finally {
      maker.interrupt();
    }
    return new LoadLevel(arrivals, slo, List.copyOf(answers), started);
  }

  private static Made take(
      BlockingQueue<Made> made, AtomicReference<@Nullable RuntimeException> defect)
      throws InterruptedException {
    while (true) {
      Made next = made.poll(100, TimeUnit.MILLISECONDS);
      if (next != null) {
        return next;
      }
      RuntimeException error = defect.get();
      if (error != null) {
        throw error;
      }
    }
  }

  private void await(long at, Arrivals arrivals, int count) {
    for (long left = at - System.nanoTime(); left > 0; left = at - System.nanoTime()) {
      if (left > SPIN_NANOS) {
        tell(arrivals, count);
        LockSupport.parkNanos(Math.min(left - SPIN_NANOS / 2, 100_000_000));
      } else {
        Thread.onSpinWait();
      }
    }
  }

  private void send(Made next, long at, Semaphore ended, @Nullable Semaphore free) {
    running.incrementAndGet();
    Answer answer =
        new Answer(
            at,
            next.request().phase(),
            over -> {
              answers.add(over);
              running.decrementAndGet();
              done.incrementAndGet();
              if (!over.whole() && failed.getAndIncrement() == 0) {
                System.err.println("epidote: the first failure: " + over.message());
              }
              if (free != null) {
                free.release();
              }
              ended.release();
            });
    next.prepared().send(answer);
  }

  private void tell(Arrivals arrivals, int count) {
    long now = System.nanoTime();
    if (now - told < TELL_NANOS) {
      return;
    }
    told = now;
    progress.accept(
        "%s: %d of %d answers, %d at work%s"
            .formatted(
                arrivals,
                done.get(),
                count,
                running.get(),
                failed.get() == 0 ? "" : ", " + failed.get() + " failed"));
  }
}
