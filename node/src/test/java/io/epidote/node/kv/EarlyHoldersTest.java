package io.epidote.node.kv;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.memory.BlockPool;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.engine.QueueOrder;
import io.epidote.node.engine.Turns;
import io.epidote.node.engine.Waiter;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

final class EarlyHoldersTest {
  private static final int TOTAL = 40;

  private static KvMemory memory() {
    return new KvMemory(new BlockPool("kv", 64, TOTAL), 0, false);
  }

  /** Positive numbers enter, others let the oldest go. */
  @Property
  void theLargestSequenceAlwaysFitsBeside(
      @ForAll @Size(max = 60) List<@IntRange(min = -5, max = 20) Integer> moves,
      @ForAll @IntRange(min = 1, max = 60) int largest) {
    KvMemory kv = memory();
    List<EarlyHolders.Place> places = new ArrayList<>();
    List<Integer> held = new ArrayList<>();
    for (int move : moves) {
      if (move <= 0) {
        if (!places.isEmpty()) {
          EarlyHolders.Place place = places.removeFirst();
          held.removeFirst();
          place.leave();
          place.leave();
        }
        continue;
      }
      int before = held.stream().mapToInt(Integer::intValue).sum();
      boolean fits = before + move + Math.min(largest, TOTAL) <= TOTAL;
      Optional<EarlyHolders.Place> place = kv.early().tryEnter(move, largest);
      assertThat(place.isPresent()).isEqualTo(fits);
      place.ifPresent(entered -> {
        places.add(entered);
        held.add(move);
      });
    }
    places.forEach(EarlyHolders.Place::leave);
    assertThat(kv.early().tryEnter(TOTAL - 1, 1)).isPresent();
  }

  @Example
  void nobodyIsOvertaken() {
    KvMemory kv = memory();
    BlockQueue.Ticket waiting = kv.line().enter(1, Turns.of(QueueOrder.FCFS), Waiter.any());
    assertThat(kv.early().tryEnter(1, 1)).isEmpty();
    waiting.leave();
    assertThat(kv.early().tryEnter(1, 1)).isPresent();
  }
}
