package io.epidote.node.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.memory.BlockPool;
import io.epidote.node.engine.QueueOrder.Policy;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

final class QueueOrderTest {
  private static List<Integer> turns(Policy policy, Waiter... arrived) {
    return QueueOrder.of(policy).sort(List.of(arrived), Waiter.NOW).stream()
        .map(Waiter::number)
        .toList();
  }

  @Example
  void theShortestGoesFirstAndEqualsAsTheyCame() {
    Waiter[] arrived = {
      Waiter.of(0, 50, 30), Waiter.of(1, 40, 10), Waiter.of(2, 30, 30), Waiter.of(3, 20, 20)
    };
    assertThat(turns(Policy.FCFS, arrived)).containsExactly(0, 1, 2, 3);
    assertThat(turns(Policy.SJF, arrived)).containsExactly(1, 3, 0, 2);
  }

  @Example
  void theLeastSlackGoesFirstAndWhoIsLateGoesLast() {
    assertThat(
            turns(
                Policy.SLACK,
                Waiter.of(0, 50, 10), // no target
                Waiter.of(1, 40, 10).dueIn(100), // 90 of slack
                Waiter.of(2, 30, 90).dueIn(120), // 30
                Waiter.of(3, 20, 50).dueIn(40), // cannot be met
                Waiter.of(4, 10, 10).dueIn(-5))) // is late
        .containsExactly(2, 1, 0, 3, 4);
  }

  @Property
  void whoHasWaitedForLongEnoughGoesFirstInAnyOrder(
      @ForAll Policy policy,
      @ForAll @Size(max = 40) List<@IntRange(min = 0, max = 20_000) Integer> waits) {
    List<Waiter> arrived = new ArrayList<>();
    List<Integer> oldestFirst = waits.stream().sorted((a, b) -> b - a).toList();
    for (int i = 0; i < waits.size(); i++) {
      int waited = oldestFirst.get(i);
      Waiter waiter = Waiter.of(i, waited, waited % 97);
      arrived.add(i % 3 == 0 ? waiter : waiter.dueIn(waited % 1009 - 100));
    }
    List<Waiter> turns = QueueOrder.of(policy).sort(arrived, Waiter.NOW);
    int aged = (int) oldestFirst.stream().filter(waited -> waited >= 10_000).count();
    assertThat(turns).containsExactlyInAnyOrderElementsOf(arrived);
    assertThat(turns.subList(0, aged)).isEqualTo(arrived.subList(0, aged));
  }

  /** Short requests come for as long as it takes: the long one is served within its patience. */
  @Property(tries = 20)
  void nobodyStarvesInTheLine(@ForAll("overtaking") Policy policy) {
    Duration patience = Duration.ofMillis(30);
    Turns order = Turns.of(new QueueOrder(policy, patience));
    BlockQueue line = new BlockQueue(new BlockPool("kv", 16, 4));
    long start = System.nanoTime();
    BlockQueue.Ticket patient =
        line.enter(4, order, new Waiter(0, start, OptionalLong.empty(), 1e9));
    int overtaken = 0;
    while (true) {
      long now = System.nanoTime();
      BlockQueue.Ticket shorter =
          line.enter(1, order, new Waiter(1, now, OptionalLong.of(now + 1_000_000_000), 0));
      var blocks = patient.take();
      if (blocks.isPresent()) {
        assertThat(now - start).isGreaterThan(0);
        line.pool().release(blocks.get());
        shorter.leave();
        break;
      }
      // Not in an assertion's reach: with a turn of 1 ms it must be over soon after its patience.
      assertThat(now - start).isLessThan(Duration.ofSeconds(20).toNanos());
      shorter.take().ifPresent(line.pool()::release);
      shorter.leave();
      overtaken++;
    }
    assertThat(overtaken).isPositive();
    assertThat(line.pool().used()).isZero();
    assertThat(line.isEmpty()).isTrue();
  }

  @Provide
  Arbitrary<Policy> overtaking() {
    return Arbitraries.of(Policy.SJF, Policy.SLACK);
  }

  /**
   * Stages share a line: the turn is that of the stage whose request has been there for longest.
   */
  @Example
  void stagesOfDifferentOrdersTakeTurnsByAge() {
    BlockQueue line = new BlockQueue(new BlockPool("kv", 16, 4));
    Turns sjf = Turns.of(QueueOrder.of(Policy.SJF));
    var prefillLong = line.enter(1, sjf, Waiter.of(0, 5, 90));
    var decode = line.enter(1, Turns.of(QueueOrder.FCFS), Waiter.of(1, 4, 0));
    var prefillShort = line.enter(1, sjf, Waiter.of(2, 3, 10));
    assertThat(decode.take()).isEmpty();
    assertThat(prefillLong.take()).isEmpty();
    assertThat(prefillShort.take()).isPresent();
    assertThat(decode.take()).isEmpty();
    assertThat(prefillLong.take()).isPresent();
    assertThat(decode.take()).isPresent();
  }

  @Example
  void anUnknownOrderIsExplained() {
    assertThat(Policy.ofWord("SJF")).isEqualTo(Policy.SJF);
    assertThatThrownBy(() -> Policy.ofWord("edf"))
        .isInstanceOf(InvalidRequest.class)
        .hasMessageContainingAll("'edf'", "fcfs", "sjf", "slack");
  }
}
