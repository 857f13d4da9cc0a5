package io.epidote.engine.tier;

import static io.epidote.engine.tier.SimulatedTiers.MS;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.tier.SimulatedTiers.Request;
import io.epidote.engine.tier.SimulatedTiers.Weights;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

/** Adapters take turns in expert slots. */
class AdapterTiersTest {
  private static final Duration CAP = Duration.ofSeconds(1);

  private static TierBudget budget(int slots, long warm) {
    return new TierBudget(slots, Long.MAX_VALUE, warm, Long.MAX_VALUE);
  }

  private static SimulatedTiers tiers(int slots, int batch) {
    return new SimulatedTiers(budget(slots, 0), new UseProbability(CAP), batch);
  }

  /** Weights watch that what runs has its place, and that places are never more than there are. */
  @Property(tries = 60)
  void nobodyWaitsBeyondTheCapAndOneSwitch(
      @ForAll long seed,
      @ForAll @IntRange(min = 6, max = 30) int adapters,
      @ForAll @IntRange(min = 1, max = 3) int largest,
      @ForAll @IntRange(min = 1, max = 15) int slowestRead,
      @ForAll @IntRange(min = 1, max = 60) int gapMs) {
    int batch = 4;
    SimulatedTiers sim = tiers((batch + 1) * largest, batch);
    Random random = new Random(seed);
    for (int i = 0; i < adapters; i++) {
      sim.add("a" + i, 1 + random.nextInt(largest), 1 + random.nextInt(slowestRead));
    }
    List<Request> asked = new ArrayList<>();
    List<Request> cancelled = new ArrayList<>();
    for (int ms = 0; ms < 5000; ms++) {
      if (random.nextInt(gapMs) == 0) {
        // Of two, the smaller one is the more frequent by far.
        int which = Math.min(random.nextInt(adapters), random.nextInt(adapters));
        asked.add(sim.ask(sim.all.get(which), 1 + random.nextInt(4)));
      }
      if (!asked.isEmpty() && random.nextInt(20 * gapMs) == 0) {
        Request gone = asked.get(random.nextInt(asked.size()));
        sim.cancel(gone);
        cancelled.add(gone);
      }
      sim.step();
    }
    sim.runUntilIdle();
    assertThat(asked).containsAll(sim.done);
    asked.removeAll(cancelled);
    assertThat(sim.done).containsAll(asked);
    long most = CAP.toNanos() + (slowestRead + 2) * MS;
    assertThat(sim.done).allSatisfy(each -> assertThat(each.waited).isLessThanOrEqualTo(most));
    assertNothingIsHeld(sim, adapters);
  }

  private static void assertNothingIsHeld(SimulatedTiers sim, int adapters) {
    TierCounts counts = sim.tiers.counts();
    assertThat(counts.pins()).isZero();
    assertThat(counts.hits() + counts.waits()).isEqualTo(sim.done.size());
    for (Weights each : sim.all) {
      assertThat(sim.tiers.tier(each.entry()) == Tier.HOT).isEqualTo(each.placed);
      sim.tiers.remove(each.entry(), () -> {});
    }
    sim.runUntilIdle();
    counts = sim.tiers.counts();
    assertThat(List.of(counts.hotSlots(), counts.hotBytes(), counts.warmBytes())).containsOnly(0L);
    assertThat(counts.coldBytes()).isZero();
    assertThat(sim.all).hasSize(adapters).noneMatch(each -> each.placed);
  }

  /** A stream of requests that keeps every slot pinned does not keep another adapter out. */
  @Test
  void slotsThatAreAlwaysPinnedAreGivenUpForOneThatWaitsTooLong() {
    SimulatedTiers sim = tiers(2, 8);
    Weights one = sim.add("one", 1, 5);
    Weights two = sim.add("two", 1, 5);
    Weights rare = sim.add("rare", 2, 5);
    List<Request> waiting = new ArrayList<>();
    for (int ms = 0; ms < 6000; ms++) {
      // Two at a time overlap, always.
      if (ms % 50 == 0) {
        sim.ask(one, 100);
        sim.ask(two, 100);
      }
      if (ms == 500) {
        waiting.add(sim.ask(rare, 10));
      }
      sim.step();
    }
    assertThat(sim.done).containsAll(waiting);
    assertThat(waiting.getFirst().waited).isLessThanOrEqualTo(CAP.toNanos() + 110 * MS);
    sim.runUntilIdle();
    assertNothingIsHeld(sim, 3);
  }

  @Test
  void whatIsUsedLeastGoesNotWhatWasUsedLongestAgo() {
    SimulatedTiers sim = tiers(2, 1);
    Weights often = sim.add("often", 1, 1);
    Weights once = sim.add("once", 1, 1);
    Weights other = sim.add("other", 1, 1);
    for (int i = 0; i < 20; i++) {
      sim.ask(often, 1);
    }
    sim.runUntilIdle();
    sim.ask(once, 1);
    sim.runUntilIdle();
    sim.ask(other, 1);
    sim.runUntilIdle();
    assertThat(sim.tiers.tier(often.entry())).isEqualTo(Tier.HOT);
    assertThat(sim.tiers.tier(other.entry())).isEqualTo(Tier.HOT);
    assertThat(sim.tiers.tier(once.entry())).isEqualTo(Tier.WARM);
    assertThat(sim.tiers.counts().evictions()).isEqualTo(1);
  }

  @Test
  void aRequestThatIsAloneIsHardlyHeldBack() {
    SimulatedTiers sim = tiers(1, 4);
    sim.add("hot", 1, 10);
    Weights cold = sim.add("cold", 1, 10);
    // What a read takes is known from the second one on.
    sim.ask(cold, 1);
    sim.runUntilIdle();
    sim.ask(sim.all.getFirst(), 1);
    sim.runUntilIdle();
    Request request = sim.ask(cold, 1);
    sim.runUntilIdle();
    assertThat(request.waited).isBetween(10 * MS, 110 * MS);
  }

  @Test
  void manyRequestsForAdaptersThatAreNotHotShareSwitches() {
    // Six adapters in one slot, a request every 10 ms, and a read of 20 ms.
    SimulatedTiers gathered = alternate(new UseProbability(CAP));
    SimulatedTiers each = alternate(new InArrivalOrder());
    assertThat(each.tiers.counts().switches()).isGreaterThan(400);
    assertThat(gathered.tiers.counts().switches()).isLessThan(each.tiers.counts().switches() / 3);
    assertThat(gathered.done).hasSameSizeAs(each.done);
    assertThat(gathered.tiers.counts().longestWaitNanos())
        .isLessThanOrEqualTo(CAP.toNanos() + 25 * MS);
  }

  private static SimulatedTiers alternate(TierPolicy policy) {
    SimulatedTiers sim = new SimulatedTiers(budget(1, 0), policy, 1);
    for (int i = 0; i < 6; i++) {
      sim.add("a" + i, 1, 20);
    }
    for (int ms = 0; ms < 5000; ms++) {
      if (ms % 10 == 0) {
        sim.ask(sim.all.get(ms / 10 % 6), 1);
      }
      sim.step();
    }
    sim.runUntilIdle();
    return sim;
  }

  /** What plain caches do. */
  private record InArrivalOrder() implements TierPolicy {
    @Override
    public boolean inArrivalOrder() {
      return true;
    }

    @Override
    public double worth(TierEntry entry, long now) {
      return entry.lastUsed();
    }

    @Override
    public List<TierEntry> due(Collection<TierEntry> waiting, long now, Costs costs) {
      return List.copyOf(waiting);
    }
  }

  @Test
  void whatIsNamedIsReadInBeforeItIsNeededInTheOrderOfTheQueue() {
    SimulatedTiers sim = new SimulatedTiers(budget(1, 3000), new UseProbability(CAP), 1);
    sim.add("hot", 1, 5);
    List<Weights> cold = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      cold.add(sim.add("cold" + i, 1, 5));
    }
    AdapterUse second = sim.tiers.enter(cold.get(2).entry());
    AdapterUse third = sim.tiers.enter(cold.get(1).entry());
    AdapterUse fourth = sim.tiers.enter(cold.get(3).entry());
    // There is room for three, and nobody's makes way for the last.
    AdapterUse last = sim.tiers.enter(cold.get(0).entry());
    for (int ms = 0; ms < 40; ms++) {
      sim.step();
    }
    assertThat(sim.readOrder).containsExactly("cold2", "cold1", "cold3");
    assertThat(sim.tiers.tier(cold.get(1).entry())).isEqualTo(Tier.WARM);
    assertThat(sim.tiers.counts().evictions()).isZero();
    List.of(second, third, fourth, last).forEach(AdapterUse::leave);
    assertNothingIsHeld(sim, 5);
  }

  @Test
  void anAdapterThatCanNeverFitIsRefusedWithTheNumbers() {
    SimulatedTiers sim = tiers(3, 1);
    assertThatThrownBy(() -> sim.add("large", 4, 1))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("4 expert slots")
        .hasMessageContaining("this node 3");
    assertThat(sim.tiers.counts().hotSlots()).isZero();
  }
}
