package io.epidote.engine.tier;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Executor;
import java.util.function.Function;
import java.util.function.LongSupplier;

/**
 * Where a decoder's adapters are. All of them are at least cold, in a mapped file. Those that fit
 * the budget are hot; which ones is up to a {@link TierPolicy}.
 *
 * <p>A cold adapter is read in by a worker, one after the other, while steps run with others; it is
 * warm then. Taking the place of one that nobody runs with is a matter of microseconds, and happens
 * in {@link #ready}, on the thread that runs steps: so what a step was told to be hot stays so.
 * What leaves the hot ones is warm while there is room, and then leaves memory.
 *
 * <p>Any thread may add and remove adapters.
 */
public final class AdapterTiers {
  /** How long requests wait for an adapter while others are gathered for it. */
  public static final Duration DEFAULT_WAIT_CAP = Duration.ofSeconds(2);

  private final Executor worker;
  private final LongSupplier clock;
  private final TierPlaces places;
  private final TierReader reader;
  private long arrivals;
  private int pins;
  private long hits;
  private long waits;
  private long longestWait;

  /**
   * @param worker runs what waits for a disk, one task after the other
   * @param clock in nanoseconds
   */
  public AdapterTiers(Executor worker, LongSupplier clock) {
    this.worker = requireNonNull(worker, "worker is null");
    this.clock = requireNonNull(clock, "clock is null");
    this.places = new TierPlaces(worker);
    this.reader = new TierReader(this, places, worker, clock);
  }

  /** Bounds what is hot; before the first adapter is added. */
  public synchronized void bound(TierBudget budget, TierPolicy policy) {
    places.bound(budget, policy);
  }

  /**
   * @param action runs, on any thread, when an adapter was read in: {@link #ready} may have more
   */
  public void onChange(Runnable action) {
    reader.onChange(action);
  }

  /**
   * Refuses an adapter that could never be hot.
   *
   * @throws InvalidRequest with what it needs and what there is
   */
  public synchronized void checkFits(TieredWeights weights) {
    places.checkFits(weights);
  }

  /**
   * Makes an adapter known: hot when there is room, for which it is read in by this thread; cold
   * otherwise.
   *
   * @throws InvalidRequest as {@link #checkFits}
   */
  public TierEntry add(TieredWeights weights) {
    TierEntry entry = new TierEntry(weights);
    boolean hot;
    synchronized (this) {
      places.checkFits(weights);
      places.entries.add(entry);
      hot = places.fits(entry);
      if (hot) {
        places.become(entry, Tier.HOT);
        entry.arriving = true;
      }
    }
    if (!hot) {
      worker.execute(weights::drop);
      return entry;
    }
    try {
      weights.readIn();
    } catch (RuntimeException | Error e) {
      synchronized (this) {
        places.become(entry, Tier.COLD);
        places.entries.remove(entry);
      }
      throw e;
    }
    synchronized (this) {
      weights.place();
      entry.arriving = false;
    }
    reader.tell();
    return entry;
  }

  /**
   * Forgets an adapter that no request uses any more, and gives its slots back.
   *
   * @param freed runs when nothing reads its weights
   */
  public void remove(TierEntry entry, Runnable freed) {
    synchronized (this) {
      if (entry.queuedUses() > 0) {
        throw new IllegalStateException("an adapter with %d uses".formatted(entry.queuedUses()));
      }
      if (!places.entries.remove(entry)) {
        throw new IllegalStateException("an adapter that is not known");
      }
      if (entry.tier == Tier.HOT) {
        entry.weights.displace();
      }
      places.become(entry, Tier.COLD);
    }
    // After a read that may be under way.
    worker.execute(freed);
  }

  /** A request names an adapter: it is read in before it is needed, if there is room. */
  public synchronized AdapterUse enter(TierEntry entry) {
    long now = clock.getAsLong();
    AdapterUse use = new AdapterUse(this, entry, ++arrivals);
    entry.named.add(use);
    entry.forecast.used(now);
    if (entry.tier == Tier.COLD) {
      reader.read(List.of(), now);
    }
    return use;
  }

  /**
   * The requests that can run now. Those whose adapters are not hot are noted: their adapters
   * become hot by the policy. What is handed out here stays hot until the next call, and longer for
   * those who pin it.
   *
   * @param turns in the order in which the queue wants to run them
   * @param use of an adapter; empty for requests to the base
   */
  public synchronized <T> List<T> ready(List<T> turns, Function<T, Optional<AdapterUse>> use) {
    if (!places.isBounded()) {
      return turns;
    }
    long now = clock.getAsLong();
    for (T turn : turns) {
      Optional<AdapterUse> own = use.apply(turn);
      if (own.isPresent() && !mayRun(own.get())) {
        await(own.get(), now);
        if (places.policy().inArrivalOrder()) {
          break;
        }
      }
    }
    decide(now);
    List<T> ready = new ArrayList<>();
    for (T turn : turns) {
      Optional<AdapterUse> own = use.apply(turn);
      if (own.isEmpty() || mayRun(own.get())) {
        own.ifPresent(each -> found(each, now));
        ready.add(turn);
      } else if (places.policy().inArrivalOrder()) {
        break;
      }
    }
    return ready;
  }

  private static boolean mayRun(AdapterUse use) {
    return use.state == AdapterUse.State.PINNED || use.entry.isUsable();
  }

  private void await(AdapterUse use, long now) {
    if (use.state == AdapterUse.State.NAMED) {
      use.entry.named.remove(use);
      use.entry.waiting.add(use);
      use.state = AdapterUse.State.WAITING;
      use.startWaiting(now);
    }
  }

  private void found(AdapterUse use, long now) {
    if (use.state == AdapterUse.State.WAITING) {
      use.stopWaiting(now);
      longestWait = Math.max(longestWait, use.waitedNanos(now));
      use.entry.waiting.remove(use);
      use.entry.named.add(use);
      use.state = AdapterUse.State.NAMED;
    }
  }

  synchronized boolean tryPin(AdapterUse use) {
    if (use.state == AdapterUse.State.PINNED) {
      return true;
    }
    if (use.state == AdapterUse.State.OVER || !use.entry.isUsable()) {
      return false;
    }
    long now = clock.getAsLong();
    found(use, now);
    use.entry.named.remove(use);
    use.entry.pins++;
    use.entry.used(now);
    use.state = AdapterUse.State.PINNED;
    pins++;
    if (use.firstPin()) {
      if (use.waitedNanos(now) > 0) {
        waits++;
      } else {
        hits++;
      }
    }
    return true;
  }

  synchronized void rest(AdapterUse use) {
    if (use.state == AdapterUse.State.PINNED) {
      unpin(use);
      use.entry.named.add(use);
      use.state = AdapterUse.State.NAMED;
    }
  }

  synchronized void leave(AdapterUse use) {
    if (use.state == AdapterUse.State.PINNED) {
      unpin(use);
    }
    use.entry.named.remove(use);
    use.entry.waiting.remove(use);
    use.state = AdapterUse.State.OVER;
  }

  private void unpin(AdapterUse use) {
    use.entry.pins--;
    pins--;
  }

  synchronized long waited(AdapterUse use) {
    return use.waitedNanos(clock.getAsLong());
  }

  /** Makes adapters hot that are due, and has the next one read in. */
  private void decide(long now) {
    List<TierEntry> waiting =
        places.entries.stream().filter(each -> !each.waiting.isEmpty()).toList();
    for (TierEntry entry : waiting) {
      if (TierPlaces.isReadIn(entry) && places.fits(entry)) {
        places.place(entry);
      }
    }
    List<TierEntry> away = waiting.stream().filter(each -> each.tier != Tier.HOT).toList();
    List<TierEntry> due =
        away.isEmpty() ? List.of() : places.policy().due(away, now, reader.costs(now));
    boolean blocked = false;
    for (TierEntry entry : due) {
      if (TierPlaces.isReadIn(entry)) {
        if (!places.makeRoom(entry, now)) {
          blocked = true;
          break;
        }
        places.place(entry);
      }
    }
    if (!blocked) {
      places.letAllStay();
    }
    places.dropWarm(places.warmRoom(), due, now);
    reader.read(due, now);
  }

  /** Whether not all adapters may be hot. */
  public synchronized boolean isBounded() {
    return places.isBounded();
  }

  /** Where an adapter is; one that is being read in is still where it was. */
  public synchronized Tier tier(TierEntry entry) {
    return entry.arriving ? Tier.COLD : entry.tier;
  }

  public synchronized TierCounts counts() {
    return new TierCounts(
        places.switches(),
        hits,
        waits,
        places.evictions(),
        reader.reads(),
        reader.readBytes(),
        pins,
        places.hotSlots(),
        places.hotBytes(),
        places.warmBytes(),
        places.coldBytes(),
        longestWait);
  }
}
