package io.epidote.router.request;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.engine.FairShare;
import io.epidote.node.engine.Flow;
import io.epidote.node.engine.QueueOrder;
import io.epidote.node.engine.TenantWeights;
import io.epidote.node.engine.Turns;
import io.epidote.node.engine.Waiting;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * Bounds the requests that are at work and those that wait for a place. Places are shared among
 * tenants and adapters by {@link FairShare}, within one of them first come, first served. When the
 * queue is full, whoever has most of it for its weight gives way: the newest of its requests is
 * turned away for one of a tenant that has less (the drop policy of Demers, Keshav and Shenker,
 * SIGCOMM 1989); or the newest of a tenant's least urgent ones for a more urgent one of its own.
 * Thread-safe.
 */
public final class Admission {
  /** Places that {@link #intervalMs} is the average of, about. */
  private static final int AVERAGED = 32;

  private static final double MOST_INTERVAL_MS = 10_000;

  private final int maxInFlight;
  private final int maxQueued;
  private final TenantWeights weights;
  private final Turns turns;
  // Invariant under the lock: somebody waits only while every place is taken.
  private final Set<Ticket> waiting = new LinkedHashSet<>();
  private int running;
  private boolean closed;

  /** Between two places that became free while somebody waited, on average of late. */
  private double intervalMs;

  private long lastFreed;

  public Admission(int maxInFlight, int maxQueued, TenantWeights weights) {
    this.maxInFlight = maxInFlight;
    this.maxQueued = maxQueued;
    this.weights = weights;
    this.turns = new Turns(QueueOrder.FCFS, weights);
  }

  /**
   * Takes a place, or one in the queue.
   *
   * @param tokens of prompt and answer, predicted
   * @throws EpidoteException.Exhausted when the queue is full
   * @throws EpidoteException.Unavailable after {@link #close}
   */
  public synchronized Ticket enter(Flow flow, double tokens) {
    if (closed) {
      throw shuttingDown();
    }
    Ticket ticket = new Ticket(flow, tokens);
    if (running < maxInFlight) {
      running++;
      ticket.admit();
    } else if (waiting.size() < maxQueued || makeRoom(flow)) {
      waiting.add(ticket);
      ticket.presence.enter();
    } else {
      throw full();
    }
    return ticket;
  }

  private EpidoteException.Exhausted full() {
    return new EpidoteException.Exhausted(
        "%d requests are at work and %d wait, which is all this router takes; try again after the time that the response names."
            .formatted(running, waiting.size()));
  }

  /** Turns somebody away who waits, if that is fair. */
  private boolean makeRoom(Flow flow) {
    Optional<Ticket> last = lastOfWhoHasMost(flow.tenant()).or(() -> lessUrgent(flow));
    last.ifPresent(ticket -> {
      ticket.refused = full();
      ticket.turnAway();
      waiting.remove(ticket);
    });
    return last.isPresent();
  }

  /** The newest request of the tenant that has most of the queue, if that is more than another. */
  private Optional<Ticket> lastOfWhoHasMost(String tenant) {
    Map<String, Double> held = new HashMap<>();
    waiting.forEach(ticket ->
        held.merge(ticket.flow.tenant(), 1 / weights.of(ticket.flow.tenant()), Double::sum));
    double own = held.getOrDefault(tenant, 0.0) + 1 / weights.of(tenant);
    Ticket last = null;
    for (Ticket ticket : waiting) {
      String other = ticket.flow.tenant();
      double had = held.getOrDefault(other, 0.0);
      if (!other.equals(tenant)
          && had > own
          && (last == null || had >= held.getOrDefault(last.flow.tenant(), 0.0))) {
        last = ticket;
      }
    }
    return Optional.ofNullable(last);
  }

  /** The newest of the tenant's least urgent requests, if that is less urgent. */
  private Optional<Ticket> lessUrgent(Flow flow) {
    Ticket last = null;
    for (Ticket ticket : waiting) {
      if (ticket.flow.givesWayTo(flow)
          && (last == null || ticket.flow.priority() >= last.flow.priority())) {
        last = ticket;
      }
    }
    return Optional.ofNullable(last);
  }

  /**
   * How long a request that came now would wait for its place, as places become free of late; less
   * for one that goes before others. 0 while there are places.
   */
  public synchronized double expectedWaitMs() {
    return running < maxInFlight ? 0 : (waiting.size() + 1) * intervalMs;
  }

  /** A place became free for which somebody waited. */
  private void measureInterval() {
    long now = System.nanoTime();
    if (lastFreed != 0) {
      double ms = Math.min(MOST_INTERVAL_MS, (now - lastFreed) / 1e6);
      intervalMs = intervalMs == 0 ? ms : intervalMs + (ms - intervalMs) / AVERAGED;
    }
    lastFreed = now;
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
    waiting.forEach(Ticket::turnAway);
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
      ticket.turnAway();
      return;
    }
    if (!ticket.isAdmitted()) {
      return; // Turned away before.
    }
    if (waiting.isEmpty()) {
      running--;
      lastFreed = 0;
    } else {
      measureInterval();
      Ticket next = turns.sort(waiting, System.nanoTime()).getFirst();
      waiting.remove(next);
      next.admit();
    }
  }

  private synchronized void charge(Ticket ticket, double tokens) {
    if (!ticket.left && ticket.isAdmitted()) {
      ticket.presence.charge(tokens - ticket.tokens);
      ticket.tokens = tokens;
    }
  }

  private synchronized Optional<EpidoteException> refusal(Ticket ticket) {
    return Optional.ofNullable(ticket.refused);
  }

  /** A place, or the way to one. */
  public final class Ticket implements Waiting, AutoCloseable {
    private final CompletableFuture<Boolean> admitted = new CompletableFuture<>();
    private final long since = System.nanoTime();
    private final Flow flow;
    private final FairShare.Presence presence;
    private double tokens;
    private @Nullable EpidoteException refused;
    private boolean left;

    private Ticket(Flow flow, double tokens) {
      this.flow = flow;
      this.tokens = tokens;
      this.presence = turns.share().of(flow);
    }

    private void admit() {
      presence.charge(tokens);
      presence.leave();
      admitted.complete(true);
    }

    /** Whether it has its place. */
    boolean isAdmitted() {
      return admitted.getNow(false);
    }

    private void turnAway() {
      presence.leave();
      admitted.complete(false);
    }

    /**
     * Waits for the place; not for an event loop.
     *
     * @throws CancellationException when the ticket was closed meanwhile
     * @throws EpidoteException.Exhausted when it had to give way to another tenant's
     * @throws EpidoteException.Unavailable when admission closed meanwhile
     */
    public void await() {
      check(admitted.join());
    }

    /**
     * The same, for some time.
     *
     * @return whether it has the place
     */
    boolean await(long ms) throws InterruptedException {
      try {
        check(admitted.get(ms, TimeUnit.MILLISECONDS));
        return true;
      } catch (TimeoutException e) {
        return false;
      } catch (ExecutionException e) {
        throw new IllegalStateException(e);
      }
    }

    private void check(boolean isAdmitted) {
      if (!isAdmitted) {
        Optional<EpidoteException> why = refusal(this);
        if (why.isPresent()) {
          throw why.get();
        }
        if (isClosed()) {
          throw shuttingDown();
        }
        throw new CancellationException("gave up waiting for admission");
      }
    }

    /**
     * Puts what the request has taken in the place of what was predicted.
     *
     * @param taken tokens of prompt and answer
     */
    void worked(double taken) {
      charge(this, taken);
    }

    /** Gives the place, or the wait, up. Only the first call does anything. */
    @Override
    public void close() {
      leave(this);
    }

    @Override
    public long since() {
      return since;
    }

    @Override
    public OptionalLong deadline() {
      return OptionalLong.empty();
    }

    @Override
    public Flow flow() {
      return flow;
    }

    @Override
    public double remainingWork() {
      return tokens;
    }

    @Override
    public double remainingMs() {
      return 0;
    }
  }
}
