package io.epidote.engine.tier;

import static java.util.Objects.requireNonNull;

import java.util.List;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.concurrent.locks.LockSupport;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Has adapters read in by a worker, one after the other, and knows what that takes. Guarded by its
 * {@link AdapterTiers}.
 */
final class TierReader {
  /** Before any read was measured; a GB/s. */
  private static final double FIRST_GUESS = 1;

  private static final double SMOOTHING = 0.2;

  private final Object lock;
  private final TierPlaces places;
  private final Executor worker;
  private final LongSupplier clock;
  private volatile Runnable changed = () -> {};

  private double nanosPerByte;
  private @Nullable TierEntry reading;
  private long readingSince;
  private long reads;
  private long readBytes;

  /**
   * @param lock that guards the places
   */
  TierReader(Object lock, TierPlaces places, Executor worker, LongSupplier clock) {
    this.lock = lock;
    this.places = places;
    this.worker = worker;
    this.clock = clock;
  }

  /**
   * @param action runs, on any thread, when an adapter was read in
   */
  void onChange(Runnable action) {
    this.changed = requireNonNull(action, "action is null");
  }

  /** An adapter was read in. */
  void tell() {
    changed.run();
  }

  /**
   * Has the next adapter read in, if none is being read: one that is due, then in the order of the
   * queue those that are waited for, then those that are named. For the sake of what is not due,
   * nothing goes that somebody has named.
   */
  void read(List<TierEntry> due, long now) {
    if (reading != null) {
      return;
    }
    Optional<TierEntry> first = due.stream().filter(each -> each.tier == Tier.COLD).findFirst();
    if (first.isPresent()) {
      if (places.dropWarm(places.warmRoom() - first.get().bytes(), due, now)) {
        begin(first.get(), now);
      }
      return;
    }
    List<TierEntry> wanted = places.entries.stream().filter(each -> each.queuedUses() > 0).toList();
    Optional<TierEntry> next =
        wanted.stream().filter(each -> each.tier == Tier.COLD).min(TierReader::byNeed);
    if (next.isPresent() && places.dropWarm(places.warmRoom() - next.get().bytes(), wanted, now)) {
      begin(next.get(), now);
    }
  }

  private static int byNeed(TierEntry a, TierEntry b) {
    if (a.waiting.isEmpty() != b.waiting.isEmpty()) {
      return a.waiting.isEmpty() ? 1 : -1;
    }
    return a.waiting.isEmpty()
        ? Long.compare(a.firstNamed(), b.firstNamed())
        : Long.compare(a.oldestWait(), b.oldestWait());
  }

  private void begin(TierEntry entry, long now) {
    places.become(entry, Tier.WARM);
    entry.arriving = true;
    reading = entry;
    readingSince = now;
    worker.execute(() -> readIn(entry));
  }

  private void readIn(TierEntry entry) {
    long start = clock.getAsLong();
    boolean read = false;
    try {
      entry.weights.readIn();
      pace(entry.bytes(), start);
      read = true;
    } finally {
      synchronized (lock) {
        reading = null;
        entry.arriving = false;
        if (!places.entries.contains(entry) || !read) {
          places.become(entry, Tier.COLD);
        }
        if (read) {
          reads++;
          readBytes += entry.bytes();
          double measured = (clock.getAsLong() - start) / (double) Math.max(1, entry.bytes());
          nanosPerByte =
              nanosPerByte == 0 ? measured : nanosPerByte + SMOOTHING * (measured - nanosPerByte);
        }
      }
      changed.run();
    }
  }

  /** Waits until so many bytes may have been read. */
  private void pace(long bytes, long start) {
    double atLeast = bytes * 1e9 / places.budget().readRate();
    for (long left; (left = (long) atLeast - (clock.getAsLong() - start)) > 0; ) {
      LockSupport.parkNanos(left);
    }
  }

  private long cost(TierEntry entry) {
    return (long) ((nanosPerByte == 0 ? FIRST_GUESS : nanosPerByte) * entry.bytes());
  }

  private long left(TierEntry entry) {
    return entry.tier == Tier.COLD ? cost(entry) : 0;
  }

  private long begun(long now) {
    return reading == null ? 0 : Math.max(0, readingSince + cost(reading) - now);
  }

  TierPolicy.Costs costs(long now) {
    return new TierPolicy.Costs(this::cost, this::left, begun(now));
  }

  long reads() {
    return reads;
  }

  long readBytes() {
    return readBytes;
  }
}
