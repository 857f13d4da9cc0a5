package io.epidote.router.request;

import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.Executor;

/**
 * What waits to be written to one client. Events go in from the request's turn and come out on the
 * client's own thread as fast as the client reads; beyond a bound no more are taken. Thread-safe.
 *
 * @param <E> an event as the front door writes it
 */
public final class Outbox<E> {
  static final int MAX_EVENTS = 1024;
  static final int MAX_BYTES = 1 << 20;

  /** The client's side. Called on the outbox's executor only. */
  public interface Sink<E> {
    /** Whether the client takes more now; {@link Outbox#drain} is called when that changes. */
    boolean ready();

    void write(E event);

    /** Nothing more is there to write for now: what was written should leave. */
    default void flush() {}
  }

  private record Entry<E>(E event, int bytes) {}

  private final Executor executor;
  private final Sink<E> sink;
  // Guarded by itself:
  private final Queue<Entry<E>> waiting = new ArrayDeque<>();
  private int bytes;
  private boolean scheduled;

  /**
   * @param executor the client's own thread, or one that runs one thing at a time
   */
  public Outbox(Executor executor, Sink<E> sink) {
    this.executor = executor;
    this.sink = sink;
  }

  /**
   * Takes an event to write.
   *
   * @return false when so much waits that this one was not taken
   */
  public boolean offer(E event, int size) {
    synchronized (waiting) {
      if (waiting.size() >= MAX_EVENTS || bytes + size > MAX_BYTES) {
        return false;
      }
    }
    put(event, size);
    return true;
  }

  /** Takes an event whatever waits: for the few that end an answer. */
  public void put(E event, int size) {
    synchronized (waiting) {
      waiting.add(new Entry<>(event, size));
      bytes += size;
    }
    drain();
  }

  /** Writes what the client takes; to be called whenever the sink becomes ready. */
  public void drain() {
    synchronized (waiting) {
      if (scheduled || waiting.isEmpty()) {
        return;
      }
      scheduled = true;
    }
    executor.execute(this::write);
  }

  private void write() {
    synchronized (waiting) {
      scheduled = false;
    }
    while (sink.ready()) {
      Entry<E> next;
      synchronized (waiting) {
        next = waiting.poll();
        if (next == null) {
          break;
        }
        bytes -= next.bytes();
      }
      sink.write(next.event());
    }
    sink.flush();
  }
}
