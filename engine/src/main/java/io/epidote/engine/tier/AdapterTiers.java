package io.epidote.engine.tier;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Executor;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Function;
import java.util.function.LongSupplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

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

  /** Before any read was measured; a GB/s. */
  private static final double FIRST_GUESS = 1;

  private static final double SMOOTHING = 0.2;

  private final Executor worker;
  private final LongSupplier clock;
  private final Set<TierEntry> entries = new LinkedHashSet<>();
  private TierBudget budget = TierBudget.ALL;
  private TierPolicy policy = new UseProbability(DEFAULT_WAIT_CAP);
  private Runnable changed = () -> {};

  private double nanosPerByte;
  private @Nullable TierEntry reading;
  private long readingSince;
  private long arrivals;
  private long hotSlots;
  private long hotBytes;
  private long warmBytes;
  private int pins;

  private long switches;
  private long hits;
  private long waits;
  private long evictions;
  private long reads;
  private long readBytes;
  private long longestWait;

  /**
   * @param worker runs what waits for a disk, one task after the other
   * @param clock in nanoseconds
   */
  public AdapterTiers(Executor worker, LongSupplier clock) {
    this.worker = requireNonNull(worker, "worker is null");
    this.clock = requireNonNull(clock, "clock is null");
  }

  /** Bounds what is hot; before the first adapter is added. */
  public synchronized void bound(TierBudget budget, TierPolicy policy) {
    if (!entries.isEmpty()) {
      throw new IllegalStateException("there are adapters already");
    }
    this.budget = requireNonNull(budget, "budget is null");
    this.policy = requireNonNull(policy, "policy is null");
  }

  /**
   * @param action runs, on any thread, when an adapter was read in: {@link #ready} may have more
   */
  public synchronized void onChange(Runnable action) {
    this.changed = requireNonNull(action, "action is null");
  }

  /**
   * Refuses an adapter that could never be hot.
   *
   * @throws InvalidRequest with what it needs and what there is
   */
  public synchronized void checkFits(TieredWeights weights) {
    if (weights.slots() > budget.slots() || weights.bytes() > budget.hotBytes()) {
      throw new InvalidRequest(
          "The adapter needs %s, but --adapter-slots gives all adapters of this node %s; give the node more, or choose an adapter with fewer experts"
              .formatted(
                  weights.slots() > budget.slots()
                      ? weights.slots() + " expert slots"
                      : weights.bytes() + " bytes",
                  weights.slots() > budget.slots()
                      ? Long.toString(budget.slots())
                      : Long.toString(budget.hotBytes())));
    }
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
      checkFits(weights);
      entries.add(entry);
      hot = fits(entry);
      if (hot) {
        become(entry, Tier.HOT);
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
        become(entry, Tier.COLD);
        entries.remove(entry);
      }
      throw e;
    }
    synchronized (this) {
      weights.place();
      entry.arriving = false;
    }
    changed.run();
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
      if (!entries.remove(entry)) {
        throw new IllegalStateException("an adapter that is not known");
      }
      if (entry.tier == Tier.HOT) {
        entry.weights.displace();
      }
      become(entry, Tier.COLD);
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
      read(List.of(), now);
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
    if (!budget.isBounded()) {
      return turns;
    }
    long now = clock.getAsLong();
    for (T turn : turns) {
      Optional<AdapterUse> own = use.apply(turn);
      if (own.isPresent() && !mayRun(own.get())) {
        await(own.get(), now);
        if (policy.inArrivalOrder()) {
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
      } else if (policy.inArrivalOrder()) {
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
    List<TierEntry> waiting = entries.stream().filter(each -> !each.waiting.isEmpty()).toList();
    List<TierEntry> due = List.of();
    boolean blocked = false;
    if (!waiting.isEmpty()) {
      for (TierEntry entry : waiting) {
        if (isReadIn(entry) && fits(entry)) {
          place(entry);
        }
      }
      List<TierEntry> away = waiting.stream().filter(each -> each.tier != Tier.HOT).toList();
      due = policy.due(away, now, new TierPolicy.Costs(this::cost, this::left, begun(now)));
      for (TierEntry entry : due) {
        if (isReadIn(entry)) {
          if (!makeRoom(entry, now)) {
            blocked = true;
            break;
          }
          place(entry);
        }
      }
    }
    if (!blocked) {
      entries.forEach(entry -> entry.leaving = false);
    }
    dropWarm(budgetOfWarm(), due, now);
    read(due, now);
  }

  private boolean isReadIn(TierEntry entry) {
    return entry.tier == Tier.WARM && !entry.arriving;
  }

  private boolean fits(TierEntry entry) {
    return entry.weights.slots() <= budget.slots() - hotSlots
        && entry.bytes() <= budget.hotBytes() - hotBytes;
  }

  private void place(TierEntry entry) {
    become(entry, Tier.HOT);
    entry.weights.place();
    switches++;
  }

  /** Evicts adapters that are worth least, or lets no more requests begin on them. */
  private boolean makeRoom(TierEntry entry, long now) {
    if (fits(entry)) {
      return true;
    }
    List<TierEntry> hot =
        entries.stream()
            .filter(each -> each.tier == Tier.HOT && !each.arriving)
            // What was placed for others who have not seen it yet stays.
            .filter(each -> each.waiting.isEmpty() || each.leaving)
            .sorted(Comparator.comparingDouble(each -> policy.worth(each, now)))
            .toList();
    Optional<List<TierEntry>> idle =
        enough(entry, hot.stream().filter(each -> each.pins == 0).toList());
    if (idle.isPresent()) {
      idle.get().forEach(this::evict);
      return true;
    }
    // Those that were told to leave before go on doing so: others would never all be idle at once.
    List<TierEntry> leavers =
        Stream.concat(
                hot.stream().filter(each -> each.pins == 0 || each.leaving),
                hot.stream().filter(each -> each.pins > 0 && !each.leaving))
            .toList();
    enough(entry, leavers).ifPresent(all -> all.forEach(each -> each.leaving = true));
    return false;
  }

  /** The first of some adapters whose room is enough for another; empty when all are not. */
  private Optional<List<TierEntry>> enough(TierEntry entry, List<TierEntry> from) {
    long slots = budget.slots() - hotSlots;
    long bytes = budget.hotBytes() - hotBytes;
    List<TierEntry> chosen = new ArrayList<>();
    for (TierEntry each : from) {
      if (slots >= entry.weights.slots() && bytes >= entry.bytes()) {
        break;
      }
      slots += each.weights.slots();
      bytes += each.bytes();
      chosen.add(each);
    }
    return slots >= entry.weights.slots() && bytes >= entry.bytes()
        ? Optional.of(chosen)
        : Optional.empty();
  }

  private void evict(TierEntry entry) {
    entry.leaving = false;
    entry.weights.displace();
    become(entry, Tier.WARM);
    evictions++;
  }

  private long budgetOfWarm() {
    long largest = entries.stream().mapToLong(TierEntry::bytes).max().orElse(0);
    return Math.max(budget.warmBytes(), 2 * largest);
  }

  /**
   * Lets warm adapters go until they have no more than so many bytes: first those that nobody has
   * named, then those that are named, then those that are waited for, but none of the kept.
   *
   * @return whether that could be done
   */
  private boolean dropWarm(long most, List<TierEntry> kept, long now) {
    if (warmBytes <= most) {
      return true;
    }
    List<TierEntry> order =
        entries.stream()
            .filter(each -> isReadIn(each) && !kept.contains(each))
            .sorted(
                Comparator.comparingInt((TierEntry each) -> each.waiting.isEmpty() ? 0 : 1)
                    .thenComparingDouble(each -> policy.worth(each, now)))
            .toList();
    for (TierEntry entry : order) {
      if (warmBytes <= most) {
        break;
      }
      become(entry, Tier.COLD);
      worker.execute(entry.weights::drop);
    }
    return warmBytes <= most;
  }

  /**
   * Has the next adapter read in, if none is being read: one that is due, then in the order of the
   * queue those that are waited for, then those that are named. For the sake of what is not due,
   * nothing goes that somebody has named.
   */
  private void read(List<TierEntry> due, long now) {
    if (reading != null) {
      return;
    }
    Optional<TierEntry> first = due.stream().filter(each -> each.tier == Tier.COLD).findFirst();
    if (first.isPresent()) {
      if (dropWarm(budgetOfWarm() - first.get().bytes(), due, now)) {
        begin(first.get(), now);
      }
      return;
    }
    List<TierEntry> wanted = entries.stream().filter(each -> each.queuedUses() > 0).toList();
    Optional<TierEntry> next =
        wanted.stream().filter(each -> each.tier == Tier.COLD).min(AdapterTiers::byNeed);
    if (next.isPresent() && dropWarm(budgetOfWarm() - next.get().bytes(), wanted, now)) {
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
    become(entry, Tier.WARM);
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
      synchronized (this) {
        reading = null;
        entry.arriving = false;
        if (!entries.contains(entry) || !read) {
          become(entry, Tier.COLD);
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
    double atLeast = bytes * 1e9 / budget.readRate();
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

  private void become(TierEntry entry, Tier tier) {
    account(entry, -1);
    entry.tier = tier;
    account(entry, 1);
  }

  private void account(TierEntry entry, int sign) {
    switch (entry.tier) {
      case HOT -> {
        hotSlots += (long) sign * entry.weights.slots();
        hotBytes += sign * entry.bytes();
      }
      case WARM -> warmBytes += sign * entry.bytes();
      case COLD -> {}
    }
  }

  /** Whether not all adapters may be hot. */
  public synchronized boolean isBounded() {
    return budget.isBounded();
  }

  /** Where an adapter is; one that is being read in is still where it was. */
  public synchronized Tier tier(TierEntry entry) {
    return entry.arriving ? Tier.COLD : entry.tier;
  }

  public synchronized TierCounts counts() {
    long all = entries.stream().mapToLong(TierEntry::bytes).sum();
    return new TierCounts(
        switches,
        hits,
        waits,
        evictions,
        reads,
        readBytes,
        pins,
        hotSlots,
        hotBytes,
        warmBytes,
        all - hotBytes - warmBytes,
        longestWait);
  }
}
