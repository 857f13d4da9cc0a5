package io.epidote.node.engine;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Random;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;

final class FairShareTest {
  private static final double LARGEST = 50;

  /** A server that does one request at a time, in the order of a stage's turns. */
  private static final class Server {
    private final Turns turns;
    private final Map<Waiter, FairShare.Presence> waiting = new HashMap<>();
    private final List<Waiter> arrived = new ArrayList<>();
    private final Map<Flow, Double> done = new HashMap<>();
    private long clock;

    Server(QueueOrder.Policy policy, TenantWeights weights) {
      turns = new Turns(QueueOrder.of(policy), weights);
    }

    void arrives(Flow flow, double work) {
      Waiter waiter =
          new Waiter(
              (int) clock, Waiter.NOW - 1_000_000 + clock++, OptionalLong.empty(), work, flow);
      arrived.add(waiter);
      FairShare.Presence presence = turns.share().of(flow);
      presence.enter();
      waiting.put(waiter, presence);
    }

    Flow serveOne() {
      Waiter next = turns.sort(arrived, Waiter.NOW).getFirst();
      arrived.remove(next);
      FairShare.Presence presence = requireNonNull(waiting.remove(next));
      presence.charge(next.remainingWork());
      presence.leave();
      done.merge(next.flow(), next.remainingWork(), Double::sum);
      return next.flow();
    }

    double done(Flow flow) {
      return done.getOrDefault(flow, 0.0);
    }
  }

  private static Flow tenant(String name) {
    return new Flow(name, "", 0);
  }

  /** While all have something waiting, work is divided by weight, within a request of each. */
  @Property(tries = 100)
  void whoAlwaysWantsMoreGetsWorkByWeight(
      @ForAll QueueOrder.Policy policy,
      @ForAll @IntRange(min = 1, max = 8) int weight,
      @ForAll @IntRange(min = 0, max = 10_000) int seed) {
    Random random = new Random(seed);
    Server server = new Server(policy, new TenantWeights(Map.of("big", (double) weight)));
    Flow big = tenant("big");
    Flow small = tenant("small");
    // The small tenant floods: its requests came first and are many.
    for (int i = 0; i < 400; i++) {
      server.arrives(small, 1 + random.nextInt((int) LARGEST));
    }
    for (int i = 0; i < 400; i++) {
      server.arrives(big, 1 + random.nextInt((int) LARGEST));
    }
    for (int i = 0; i < 300; i++) {
      server.serveOne();
      assertThat(server.done(big) / weight)
          .isCloseTo(server.done(small), within(LARGEST + LARGEST / weight));
    }
  }

  /** Of a tenant's requests the urgent ones are first, whatever adapter they are for. */
  @Example
  void prioritiesOrderATenantsOwnRequests() {
    Server server = new Server(QueueOrder.Policy.FCFS, TenantWeights.EQUAL);
    for (int i = 0; i < 10; i++) {
      server.arrives(new Flow("one", i % 2 == 0 ? "a" : "b", 5), 10);
    }
    server.arrives(new Flow("one", "c", 5), 1);
    server.arrives(new Flow("one", "b", -1), 10);
    server.arrives(new Flow("one", "b", 0), 10);
    List<Integer> priorities = new ArrayList<>();
    for (int i = 0; i < 13; i++) {
      priorities.add(server.serveOne().priority());
    }
    assertThat(priorities).startsWith(-1, 0, 5).isSorted();
  }

  /** Nobody gets more of a stage for calling everything urgent. */
  @Example
  void prioritiesTakeNothingFromOthers() {
    Server server = new Server(QueueOrder.Policy.FCFS, TenantWeights.EQUAL);
    Flow urgent = new Flow("urgent", "", -100);
    Flow calm = new Flow("calm", "", 100);
    for (int i = 0; i < 100; i++) {
      server.arrives(urgent, 10);
      server.arrives(calm, 10);
    }
    for (int i = 0; i < 100; i++) {
      server.serveOne();
    }
    assertThat(server.done(urgent)).isCloseTo(server.done(calm), within(10.0));
  }

  /** Others' requests, however many, keep a request back by no more than one turn of each. */
  @Example
  void aFloodIsPassedByWhoComesLater() {
    Server server = new Server(QueueOrder.Policy.FCFS, TenantWeights.EQUAL);
    for (int i = 0; i < 100; i++) {
      server.arrives(tenant("flood"), 10);
    }
    for (int i = 0; i < 20; i++) {
      assertThat(server.serveOne()).isEqualTo(tenant("flood"));
    }
    server.arrives(tenant("late"), 10);
    List<Flow> next = List.of(server.serveOne(), server.serveOne());
    assertThat(next).contains(tenant("late"));
  }

  /** Time in which nobody else wanted anything is not paid for, nor is idle time saved up. */
  @Example
  void theBusyPastIsForgottenAndTheIdleOneNotSavedUp() {
    Server server = new Server(QueueOrder.Policy.FCFS, TenantWeights.EQUAL);
    Flow busy = tenant("busy");
    Flow late = tenant("late");
    for (int i = 0; i < 200; i++) {
      server.arrives(busy, 10);
    }
    for (int i = 0; i < 100; i++) {
      server.serveOne();
    }
    for (int i = 0; i < 200; i++) {
      server.arrives(late, 10);
    }
    double before = server.done(busy);
    for (int i = 0; i < 100; i++) {
      server.serveOne();
    }
    assertThat(server.done(busy) - before).isCloseTo(server.done(late), within(20.0));
  }

  /** A tenant with many adapters has no more than one with one; its adapters share alike. */
  @Example
  void adaptersShareWhatTheirTenantGets() {
    Server server = new Server(QueueOrder.Policy.FCFS, TenantWeights.EQUAL);
    Flow one = tenant("one");
    for (int i = 0; i < 100; i++) {
      for (String adapter : List.of("a", "b", "c", "d")) {
        server.arrives(new Flow("many", adapter, 0), 10);
      }
      server.arrives(one, 10);
    }
    for (int i = 0; i < 160; i++) {
      server.serveOne();
    }
    assertThat(server.done(one)).isCloseTo(800, within(20.0));
    for (String adapter : List.of("a", "b", "c", "d")) {
      assertThat(server.done(new Flow("many", adapter, 0))).isCloseTo(200, within(20.0));
    }
  }

  /** Whoever is there is served: what a tenant leaves, others have. Nothing is remembered then. */
  @Property(tries = 50)
  void allAreServedAndNothingIsLeft(@ForAll @IntRange(min = 0, max = 10_000) int seed) {
    Random random = new Random(seed);
    Server server = new Server(QueueOrder.Policy.SJF, new TenantWeights(Map.of("t1", 5.0)));
    int came = 0;
    int served = 0;
    for (int i = 0; i < 300; i++) {
      if (random.nextInt(3) > 0) {
        server.arrives(new Flow("t" + random.nextInt(4), "a" + random.nextInt(3), 0), 1 + i % 17);
        came++;
      } else if (!server.arrived.isEmpty()) {
        server.serveOne();
        served++;
      }
    }
    assertThat(server.arrived).hasSize(came - served);
    while (!server.arrived.isEmpty()) {
      server.serveOne();
    }
    assertThat(server.turns.share().tenants()).isZero();
  }

  @Example
  void namesAndWeightsThatCannotBeAreRefused() {
    assertThatThrownBy(() -> new TenantWeights(Map.of("a b", 1.0)))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContaining("a b");
    for (double weight : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
      assertThatThrownBy(() -> new TenantWeights(Map.of("a", weight)))
          .isInstanceOf(InvalidRequest.class)
          .hasMessageContaining("above 0");
    }
  }
}
