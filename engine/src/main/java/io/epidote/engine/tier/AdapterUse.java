package io.epidote.engine.tier;

/**
 * A request's use of an adapter, from its arrival to its end. While it is pinned, the adapter stays
 * hot. Whoever pins must be waiting for steps alone, not for anything that another request may
 * hold: then every pin ends.
 */
public final class AdapterUse {
  private final AdapterTiers tiers;
  final TierEntry entry;
  State state = State.NAMED;

  /** On the clock of the tiers: now, less what it has waited in all. */
  private long since;

  private long waited;
  private boolean pinnedBefore;

  /** Grows with every use. */
  final long arrival;

  enum State {
    NAMED,
    WAITING,
    PINNED,
    OVER
  }

  AdapterUse(AdapterTiers tiers, TierEntry entry, long arrival) {
    this.tiers = tiers;
    this.entry = entry;
    this.arrival = arrival;
  }

  /** Whether it is pinned for the first time. */
  boolean firstPin() {
    boolean first = !pinnedBefore;
    pinnedBefore = true;
    return first;
  }

  long since() {
    return since;
  }

  void startWaiting(long now) {
    since = now - waited;
  }

  void stopWaiting(long now) {
    waited = now - since;
  }

  /** Nanoseconds that it has waited for the adapter. */
  public long waitedNanos() {
    return tiers.waited(this);
  }

  long waitedNanos(long now) {
    return state == State.WAITING ? now - since : waited;
  }

  /**
   * Keeps the adapter hot, if it is. Harmless when it is pinned already.
   *
   * @return whether it is pinned
   */
  public boolean tryPin() {
    return tiers.tryPin(this);
  }

  /** Needs the adapter later, but not for now. */
  public void rest() {
    tiers.rest(this);
  }

  /** The request is over; harmless to repeat. */
  public void leave() {
    tiers.leave(this);
  }
}
