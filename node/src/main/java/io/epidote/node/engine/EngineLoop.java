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
 * <p>A stage has one queue, so that the commands of a request run in the order in which they came.
 * New work enters by {@link #offer}, which may say no. What follows from admitted work (a cancel,
 * the end of a pull, a lease that ended) enters by {@link #execute}, which may not: refusing it
 * would leak blocks. The queue is bounded all the same, because every admitted request causes a
 * bounded number of such commands.
 *
 * <p>All stages share one queue but those that are {@linkplain #urgent urgent}: their commands and
 * steps also run in the midst of a step that lets itself be interrupted ({@link #interlude}). Such
 * a step is at a place where it touches nothing that is not its own, and an urgent stage has
 * nothing in common with it but leases.
 */
public final class EngineLoop implements Executor, AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(EngineLoop.class);

  /** Commands run before the stages get their turn again. */
  private static final int DRAIN_LIMIT = 1024;

  /** Also how late a stage notices that a wait is over its bound. */
  private static final long PARK_NANOS = Duration.ofMillis(50).toNanos();

  private record Command(Runnable body, boolean admission) {}

  private final Lane commands = new Lane();
  private final Lane urgent = new Lane();
  private final int admissionLimit;
  private final AtomicInteger admissions = new AtomicInteger();
  private final AtomicLong defects = new AtomicLong();
  private final Thread thread;
  private Steps steps = Steps.NONE;
  private Runnable onIdle = () -> {};

  /** Whether any command wakes the thread. */
  private volatile boolean sleeping;

  /** Whether an urgent one does. */
  private volatile boolean dozing;

  /** Of all time, what urgent work took in the midst of other steps, in nanoseconds. */
  private long interrupted;

  private volatile boolean stopping;
  private volatile @Nullable String fault;
  private final CountDownLatch failed = new CountDownLatch(1);

  /** When the present step or command began, in nanoseconds; 0 between them. */
  private volatile long busySince;

  /**
   * A step of each stage, which returns whether it did anything.
   *
   * @param all in the order of their turns
   * @param urgent those of them that run in the midst of others, too
   */
  public record Steps(List<BooleanSupplier> all, List<BooleanSupplier> urgent) {
    static final Steps NONE = new Steps(List.of(), List.of());

    public Steps {
      all = List.copyOf(all);
      urgent = List.copyOf(urgent);
    }
  }

  /** Commands that run in the order in which they came. */
  public final class Lane implements Executor {
    private final MpscUnboundedArrayQueue<Command> queue = new MpscUnboundedArrayQueue<>(1024);

    private Lane() {}

    /**
     * Hands over new work. False when too much is waiting, or the loop is stopping: nothing ran.
     */
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
      queue.offer(command);
      if (sleeping || (dozing && this == urgent)) {
        LockSupport.unpark(thread);
      }
    }

    private boolean isEmpty() {
      return queue.isEmpty();
    }

    private boolean drain() {
      int done = 0;
      for (Command command; done < DRAIN_LIMIT && (command = queue.poll()) != null; done++) {
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
  }

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
   * @param onIdle runs on the engine thread when there was work and now there is none
   */
  public void start(Steps steps, Runnable onIdle) {
    this.steps = steps;
    this.onIdle = requireNonNull(onIdle, "onIdle is null");
    thread.start();
  }

  /** As {@link Lane#offer}, for all stages but urgent ones. */
  public boolean offer(Runnable command) {
    return commands.offer(command);
  }

  /** As {@link Lane#execute}, for all stages but urgent ones. */
  @Override
  public void execute(Runnable command) {
    commands.execute(command);
  }

  /** For stages whose steps may be {@link Steps#urgent}. */
  public Lane urgent() {
    return urgent;
  }

  /**
   * Waits, in a step that may be interrupted, and does what is urgent meanwhile. For the engine
   * thread.
   *
   * @param dueNanos until when, by {@link System#nanoTime}
   * @return what urgent work took, by which the step ends later; 0 when there was none
   */
  public long interlude(long dueNanos) {
    checkThread();
    while (true) {
      long began = System.nanoTime();
      if (runUrgent()) {
        long took = Math.max(1, System.nanoTime() - began);
        interrupted += took;
        return took;
      }
      if (began >= dueNanos || Thread.currentThread().isInterrupted()) {
        return 0;
      }
      // A producer that does not see this flag has queued before we look at the queue again.
      dozing = true;
      if (urgent.isEmpty()) {
        LockSupport.parkNanos(this, dueNanos - began);
      }
      dozing = false;
    }
  }

  private boolean runUrgent() {
    boolean worked = urgent.drain();
    for (BooleanSupplier step : steps.urgent()) {
      worked |= guarded(step);
    }
    return worked;
  }

  /** What urgent work has taken in the midst of other steps so far. On the engine thread. */
  public long interruptedNanos() {
    return interrupted;
  }

  /**
   * Gives the loop other steps, from its next round on. To be called by a command, on the engine
   * thread.
   */
  public void exchange(Steps others) {
    checkThread();
    steps = others;
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
    return commands.isEmpty() && urgent.isEmpty();
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
    while (!stopping || !isDrained()) {
      boolean worked = commands.drain() | urgent.drain();
      for (BooleanSupplier step : steps.all()) {
        worked |= guarded(step);
      }
      if (worked) {
        dirty = true;
        continue;
      }
      long before = System.nanoTime();
      sleepUntilCommand();
      if (dirty && isDrained() && System.nanoTime() - before >= PARK_NANOS / 2) {
        dirty = false;
        guarded(() -> {
          onIdle.run();
          return true;
        });
      }
    }
  }

  private boolean guarded(BooleanSupplier work) {
    boolean amidst = busySince != 0;
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
      busySince = amidst ? System.nanoTime() | 1 : 0;
    }
  }

  private void sleepUntilCommand() {
    // A producer that does not see this flag has queued before we look at the queue again.
    sleeping = true;
    if (isDrained() && !stopping) {
      LockSupport.parkNanos(this, PARK_NANOS);
    }
    sleeping = false;
  }
}
