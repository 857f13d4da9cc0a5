package io.epidote.engine.tier;

import static java.util.Objects.requireNonNull;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Tiers on a clock of their own, with a disk and a batch: a millisecond a step. Weights watch that
 * nothing runs with what is not in its place.
 */
final class SimulatedTiers {
  static final long MS = 1_000_000;

  private final TierBudget budget;
  private final int batch;
  private final Deque<Job> disk = new ArrayDeque<>();
  private final List<Request> queue = new ArrayList<>();
  private final List<Request> running = new ArrayList<>();
  final List<Weights> all = new ArrayList<>();
  final List<Request> done = new ArrayList<>();
  final List<String> readOrder = new ArrayList<>();
  final AdapterTiers tiers;
  long now;
  private long diskFreeAt;
  private boolean readPending;

  private record Job(Runnable body, Optional<Weights> read) {}

  /**
   * @param batch requests that run at a time
   */
  SimulatedTiers(TierBudget budget, TierPolicy policy, int batch) {
    this.budget = budget;
    this.batch = batch;
    this.tiers = new AdapterTiers(this::enqueue, () -> now);
    tiers.bound(budget, policy);
  }

  private void enqueue(Runnable body) {
    Optional<Weights> read =
        readPending
            ? Optional.empty()
            : all.stream().filter(each -> each.entry != null && each.entry.arriving).findFirst();
    readPending |= read.isPresent();
    disk.add(new Job(body, read));
  }

  Weights add(String name, int slots, long readMs) {
    Weights weights = new Weights(name, slots, readMs);
    all.add(weights);
    weights.entry = tiers.add(weights);
    return weights;
  }

  Request ask(Weights weights, long runMs) {
    Request request = new Request(weights, tiers.enter(weights.entry()), now, runMs);
    queue.add(request);
    return request;
  }

  /** The client goes, wherever its request is. */
  void cancel(Request request) {
    if (queue.remove(request)) {
      request.use.leave();
    } else {
      request.endsAt = now;
    }
  }

  /** Lets a millisecond pass. */
  void step() {
    runDisk();
    for (Iterator<Request> each = running.iterator(); each.hasNext(); ) {
      Request request = each.next();
      request.weights.checkPlaced();
      if (now >= request.endsAt) {
        request.use.leave();
        done.add(request);
        each.remove();
      }
    }
    for (Request request : tiers.ready(queue, request -> Optional.of(request.use))) {
      if (running.size() < batch && request.use.tryPin()) {
        request.waited = request.use.waitedNanos();
        request.endsAt = now + request.runMs * MS;
        running.add(request);
        queue.remove(request);
      }
    }
    int slots = all.stream().filter(each -> each.placed).mapToInt(Weights::slots).sum();
    if (slots > budget.slots()) {
      throw new AssertionError("%d slots of %d".formatted(slots, budget.slots()));
    }
    now += MS;
  }

  private void runDisk() {
    while (!disk.isEmpty()) {
      Job job = disk.getFirst();
      long takes = job.read.map(each -> each.readMs * MS).orElse(0L);
      if (diskFreeAt + takes > now) {
        return;
      }
      disk.removeFirst();
      long end = now;
      now = end - takes;
      if (job.read.isPresent()) {
        readPending = false;
      }
      job.body.run();
      now = end;
      diskFreeAt = end;
    }
    diskFreeAt = now;
  }

  boolean isIdle() {
    return queue.isEmpty() && running.isEmpty() && disk.isEmpty();
  }

  void runUntilIdle() {
    for (long end = now + 100_000 * MS; !isIdle(); step()) {
      if (now > end) {
        throw new AssertionError("%d requests wait for ever".formatted(queue.size()));
      }
    }
  }

  static final class Request {
    final Weights weights;
    final AdapterUse use;
    final long arrived;
    final long runMs;
    long endsAt;
    long waited;

    Request(Weights weights, AdapterUse use, long arrived, long runMs) {
      this.weights = weights;
      this.use = use;
      this.arrived = arrived;
      this.runMs = runMs;
    }
  }

  final class Weights implements TieredWeights {
    final String name;
    private final int slots;
    final long readMs;
    private @Nullable TierEntry entry;
    boolean placed;
    private boolean here;

    Weights(String name, int slots, long readMs) {
      this.name = name;
      this.slots = slots;
      this.readMs = readMs;
    }

    TierEntry entry() {
      return requireNonNull(entry);
    }

    void checkPlaced() {
      if (!placed || !here) {
        throw new AssertionError(name + " is not where steps need it");
      }
    }

    @Override
    public long bytes() {
      return slots * 1000L;
    }

    @Override
    public int slots() {
      return slots;
    }

    @Override
    public void readIn() {
      if (entry != null) {
        now += readMs * MS;
        readOrder.add(name);
      }
      here = true;
    }

    @Override
    public void drop() {
      if (placed) {
        throw new AssertionError(name + " is dropped while it is hot");
      }
      here = false;
    }

    @Override
    public void place() {
      if (placed || !here) {
        throw new AssertionError(name + " is placed twice, or without its weights");
      }
      placed = true;
    }

    @Override
    public void displace() {
      if (!placed || running.stream().anyMatch(each -> each.weights == this)) {
        throw new AssertionError(name + " loses its place while it is needed");
      }
      placed = false;
    }
  }
}
