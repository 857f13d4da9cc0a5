package io.epidote.node.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.memory.BlockPool;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

final class BlockQueueTest {
  @Property(tries = 300)
  void blocksAreGivenInTheOrderOfArrival(
      @ForAll @Size(max = 60) List<@IntRange(min = 1, max = 8) Integer> wishes) {
    BlockQueue queue = new BlockQueue(new BlockPool("kv", 16, 8));
    record Place(int number, BlockQueue.Ticket ticket) {}
    ArrayDeque<Place> waiting = new ArrayDeque<>();
    ArrayDeque<int[]> held = new ArrayDeque<>();
    List<Integer> served = new ArrayList<>();
    List<Integer> left = new ArrayList<>();
    for (int i = 0; i < wishes.size(); i++) {
      waiting.add(
          new Place(i, queue.enter(wishes.get(i), Turns.of(QueueOrder.FCFS), Waiter.any())));
      if (i % 7 == 3) {
        waiting.getLast().ticket().leave();
        left.add(waiting.removeLast().number());
      }
      // Those behind ask, too; only the head may be served.
      for (Place candidate : List.copyOf(waiting)) {
        candidate
            .ticket()
            .take()
            .ifPresent(blocks -> {
              held.add(blocks);
              served.add(candidate.number());
              waiting.remove(candidate);
            });
      }
      if (i % 2 == 0 && !held.isEmpty()) {
        queue.pool().release(held.remove());
      }
    }
    while (!waiting.isEmpty()) {
      Place head = waiting.element();
      var blocks = head.ticket().take();
      if (blocks.isPresent()) {
        queue.pool().release(blocks.get());
        served.add(waiting.remove().number());
      } else {
        // A head that is not served is waiting for blocks that somebody holds.
        queue.pool().release(held.remove());
      }
    }
    held.forEach(queue.pool()::release);
    assertThat(served).isSorted().hasSize(wishes.size() - left.size());
    assertThat(queue.pool().used()).isZero();
  }

  @Example
  void aWishThatCanNeverBeGrantedIsRefused() {
    BlockQueue queue = new BlockQueue(new BlockPool("kv", 16, 8));
    assertThat(queue.canEverFit(8)).isTrue();
    assertThat(queue.canEverFit(9)).isFalse();
    assertThatThrownBy(() -> queue.enter(9, Turns.of(QueueOrder.FCFS), Waiter.any()))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
