package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.jctools.queues.MpscUnboundedArrayQueue;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The node's one engine thread: runs commands from other threads, then one step of each stage, and
 * sleeps when there is nothing to do.
 *
 * <p>There is one queue, so that the commands of a request run in the order in which they came. New
 * work enters by {@link #offer}, which may say no. What follows from admitted work (a cancel, the
 * end of a pull, a lease that ended) enters by {@link #execute}, which may not: refusing it would
 * leak blocks. The queue is bounded all the same, because every admitted request causes a bounded
 * number of such commands.
 */
public final class EngineLoop implements Executor, AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(EngineLoop.class);

  /** Commands run before the stages get their turn again. */
  private static final int DRAIN_LIMIT = 1024;

  /** Also how late a stage notices that a wait is over its bound. */
  private static final long PARK_NANOS = Duration.ofMillis(50).toNanos();

  private record Command(Runnable body, boolean admission) {}

  private final MpscUnboundedArrayQueue<Command> commands = new MpscUnboundedArrayQueue<>(1024);
  private final int admissionLimit;
  private final AtomicInteger admissions = new AtomicInteger();
  private final AtomicLong defects = new AtomicLong();
  private final Thread thread;
  private List<BooleanSupplier> steps = List.of();
  private Runnable onIdle = () -> {};
  private volatile boolean sleeping;
  private volatile boolean stopping;
  private volatile @Nullable String fault;
  private final CountDownLatch failed = new CountDownLatch(1);

  /** When the present step or command began, in nanoseconds; 0 between them. */
  private volatile long busySince;

  /**
   * @param name of the thread
   * @param admissionLimit new requests that may wait for the engine thread before it looks at them
   */
  public EngineLoop(String name, int admissionLimit) {
    this.admissionLimit = admissionLimit;
    this.thread =
        Thread.ofPlatform().name(requireNonNull(name, "name is null")).unstarted(this::run);
  }

  /**
   * Starts the thread.
   *
   * @param steps one for each stage, in the order of their turns; returns whether it did anything
   * @param onIdle runs on the engine thread when there was work and now there is none
   */
  public void start(List<BooleanSupplier> steps, Runnable onIdle) {
    this.steps = List.copyOf(steps);
    this.onIdle = requireNonNull(onIdle, "onIdle is null");
    thread.start();
  }

  /** Hands over new work. False when too much is waiting, or the loop is stopping: nothing ran. */
  public boolean offer(Runnable command) {
    if (stopping || admissions.incrementAndGet() > admissionLimit) {
      admissions.decrementAndGet();
      return false;
    }
    enqueue(new Command(command, true));
    return true;
  }

  /** Hands over what follows from work that was admitted. Never refused, never run in place. */
  @Override
  public void execute(Runnable command) {
    enqueue(new Command(command, false));
  }

  private void enqueue(Command command) {
    commands.offer(command);
    if (sleeping) {
      LockSupport.unpark(thread);
    }
  }

  /**
   * Gives the loop other steps, from its next round on. To be called by a command, on the engine
   * thread.
   */
  public void exchange(List<BooleanSupplier> others) {
    checkThread();
    steps = List.copyOf(others);
  }

  /**
   * Runs something on the engine thread and waits for its result.
   *
   * @param bound after which it is given up: it is not run then
   * @throws EpidoteException.Unavailable when the thread is in a step for all that time
   */
  public <T> T call(Supplier<T> asked, Duration bound) {
    AtomicBoolean begun = new AtomicBoolean();
    CompletableFuture<T> result = new CompletableFuture<>();
    execute(() -> {
      if (begun.compareAndSet(false, true)) {
        try {
          result.complete(asked.get());
        } catch (RuntimeException | Error e) {
          result.completeExceptionally(e);
        }
      }
    });
    try {
      return result.get(bound.toNanos(), TimeUnit.NANOSECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (TimeoutException e) {
      // Told below.
    } catch (ExecutionException e) {
      throw new EpidoteException.Internal("A command of the engine thread failed.", e);
    }
    if (begun.compareAndSet(false, true)) {
      throw new EpidoteException.Unavailable(
          "The engine thread of this node is in a step that has lasted for more than %d ms."
              .formatted(bound.toMillis()));
    }
    return result.join();
  }

  /** How long the step or command has lasted that the thread is in; 0 when it is in none. */
  public long busyNanos() {
    long since = busySince;
    return since == 0 ? 0 : System.nanoTime() - since;
  }

  /** Where the thread is. */
  public StackTraceElement[] stackTrace() {
    return thread.getStackTrace();
  }

  /** Whether no command waits. Exact on the engine thread for commands handed over before. */
  public boolean isDrained() {
    return commands.isEmpty();
  }

  /** Fails when the caller is not the engine thread, whose state it is about to touch. */
  public void checkThread() {
    if (Thread.currentThread() != thread) {
      throw new IllegalStateException(
          "%s touched state of the engine thread".formatted(Thread.currentThread().getName()));
    }
  }

  /** What went wrong for good, if anything: the node should be restarted. */
  public @Nullable String fault() {
    return fault;
  }

  /** Returns when there is one. */
  public String awaitFault() throws InterruptedException {
    failed.await();
    return requireNonNull(fault);
  }

  /** Exceptions that reached the loop, each a defect of a stage. */
  public long defects() {
    return defects.get();
  }

  /**
   * Runs what is queued, then ends the thread.
   *
   * @return false when it is still in a step after {@code bound}; models must not be closed then
   */
  public boolean close(Duration bound) {
    stopping = true;
    LockSupport.unpark(thread);
    try {
      return thread.getState() == Thread.State.NEW || thread.join(bound);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  @Override
  public void close() {
    close(Duration.ofSeconds(10));
  }

  private void run() {
    boolean dirty = false;
    while (!stopping || !commands.isEmpty()) {
      boolean worked = drain();
      for (BooleanSupplier step : steps) {
        worked |= guarded(step);
      }
      if (worked) {
        dirty = true;
        continue;
      }
      long before = System.nanoTime();
      sleepUntilCommand();
      if (dirty && commands.isEmpty() && System.nanoTime() - before >= PARK_NANOS / 2) {
        dirty = false;
        guarded(() -> {
          onIdle.run();
          return true;
        });
      }
    }
  }

  private boolean drain() {
    int done = 0;
    for (Command command; done < DRAIN_LIMIT && (command = commands.poll()) != null; done++) {
      if (command.admission()) {
        admissions.decrementAndGet();
      }
      Runnable body = command.body();
      guarded(() -> {
        body.run();
        return true;
      });
    }
    return done > 0;
  }

  private boolean guarded(BooleanSupplier work) {
    busySince = System.nanoTime() | 1;
    try {
      return work.getAsBoolean();
    } catch (RuntimeException e) {
      defects.incrementAndGet();
      log.error("A defect reached the engine loop, which goes on", e);
      return false;
    } catch (Error e) {
      defects.incrementAndGet();
      fault = "The engine thread met " + e + "; restart the node.";
      failed.countDown();
      log.error("An error reached the engine loop; the node reports itself unhealthy", e);
      return false;
    } finally {
      busySince = 0;
    }
  }

  private void sleepUntilCommand() {
    // A producer that does not see this flag has queued before we look at the queue again.
    sleeping = true;
    if (commands.isEmpty() && !stopping) {
      LockSupport.parkNanos(this, PARK_NANOS);
    }
    sleeping = false;
  }
}
