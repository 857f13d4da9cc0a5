package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;

/**
 * Bounds the requests that are at work and those that wait for a place, first come first served.
 * Thread-safe.
 */
public final class Admission {
  private final int maxInFlight;
  private final int maxQueued;
  // Invariant under the lock: somebody waits only while every place is taken.
  private final Set<Ticket> waiting = new LinkedHashSet<>();
  private int running;
  private boolean closed;

  public Admission(int maxInFlight, int maxQueued) {
    this.maxInFlight = maxInFlight;
    this.maxQueued = maxQueued;
  }

  /**
   * Takes a place, or one in the queue.
   *
   * @throws EpidoteException.Exhausted when the queue is full
   * @throws EpidoteException.Unavailable after {@link #close}
   */
  public synchronized Ticket enter() {
    if (closed) {
      throw shuttingDown();
    }
    Ticket ticket = new Ticket();
    if (running < maxInFlight) {
      running++;
      ticket.admitted.complete(true);
    } else if (waiting.size() < maxQueued) {
      waiting.add(ticket);
    } else {
      throw new EpidoteException.Exhausted(
          "%d requests are at work and %d wait, which is all this router takes; try again after the time that the response names."
              .formatted(running, waiting.size()));
    }
    return ticket;
  }

  /** Admitted requests that have not ended. */
  public synchronized int running() {
    return running;
  }

  public synchronized int waiting() {
    return waiting.size();
  }

  /** Admits nobody from now on; those who wait are told to go. */
  public synchronized void close() {
    closed = true;
    waiting.forEach(ticket -> ticket.admitted.complete(false));
    waiting.clear();
  }

  private static EpidoteException.Unavailable shuttingDown() {
    return new EpidoteException.Unavailable(
        "The router is shutting down and takes no new requests; send the request to another router or try again later.");
  }

  private synchronized boolean isClosed() {
    return closed;
  }

  private synchronized void leave(Ticket ticket) {
    if (ticket.left) {
      return;
    }
    ticket.left = true;
    if (waiting.remove(ticket)) {
      ticket.admitted.complete(false);
      return;
    }
    if (!ticket.admitted.getNow(false)) {
      return; // Turned away by close().
    }
    Iterator<Ticket> next = waiting.iterator();
    if (next.hasNext()) {
      Ticket admitted = next.next();
      next.remove();
      admitted.admitted.complete(true);
    } else {
      running--;
    }
  }

  /** A place, or the way to one. */
  public final class Ticket implements AutoCloseable {
    private final CompletableFuture<Boolean> admitted = new CompletableFuture<>();
    private boolean left;

    private Ticket() {}

    /**
     * Waits for the place; not for an event loop.
     *
     * @throws CancellationException when the ticket was closed meanwhile
     * @throws EpidoteException.Unavailable when admission closed meanwhile
     */
    public void await() {
      if (!admitted.join()) {
        if (isClosed()) {
          throw shuttingDown();
        }
        throw new CancellationException("gave up waiting for admission");
      }
    }

    /** Gives the place, or the wait, up. Only the first call does anything. */
    @Override
    public void close() {
      leave(this);
    }
  }
}
