package io.epidote.node.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
final class EngineLoopTest {
  private final EngineLoop loop = new EngineLoop("test-engine", 4);

  @AfterEach
  void close() {
    loop.close();
  }

  @Test
  void offerSaysNoWhenTooMuchNewWorkWaitsButFollowUpsPass() throws InterruptedException {
    AtomicInteger admitted = new AtomicInteger();
    AtomicInteger followed = new AtomicInteger();
    for (int i = 0; i < 4; i++) {
      assertThat(loop.offer(admitted::incrementAndGet)).isTrue();
    }
    assertThat(loop.offer(admitted::incrementAndGet)).isFalse();
    for (int i = 0; i < 5000; i++) {
      loop.execute(followed::incrementAndGet);
    }
    loop.start(EngineLoop.Steps.NONE, () -> {});
    await().untilAtomic(followed, org.hamcrest.Matchers.is(5000));
    assertThat(admitted).hasValue(4);
    CountDownLatch again = new CountDownLatch(1);
    assertThat(loop.offer(again::countDown)).isTrue();
    assertThat(again.await(5, TimeUnit.SECONDS)).isTrue();
  }

  @Test
  void commandsOfOneThreadKeepTheirOrder() {
    List<Integer> seen = new ArrayList<>();
    loop.start(EngineLoop.Steps.NONE, () -> {});
    for (int i = 0; i < 20_000; i++) {
      int number = i;
      loop.execute(() -> seen.add(number));
    }
    CountDownLatch done = new CountDownLatch(1);
    loop.execute(done::countDown);
    await().until(() -> done.getCount() == 0);
    assertThat(seen).hasSize(20_000).isSorted();
  }

  @Test
  void stagesTakeTurnsAndAnExceptionDoesNotEndTheLoop() {
    List<String> turns = new ArrayList<>();
    AtomicInteger rounds = new AtomicInteger();
    BooleanSupplier failing =
        () -> {
          if (rounds.get() < 3) {
            turns.add("a");
            throw new IllegalStateException("defect");
          }
          return false;
        };
    BooleanSupplier working =
        () -> {
          if (rounds.getAndIncrement() < 3) {
            turns.add("b");
            return true;
          }
          return false;
        };
    loop.start(new EngineLoop.Steps(List.of(failing, working), List.of()), () -> {});
    await().until(() -> rounds.get() > 3);
    assertThat(turns).containsExactly("a", "b", "a", "b", "a", "b");
    assertThat(loop.defects()).isEqualTo(3);
    assertThat(loop.fault()).isNull();
  }

  @Test
  void anErrorIsAFaultAndTheLoopGoesOn() {
    loop.start(EngineLoop.Steps.NONE, () -> {});
    loop.execute(() -> {
      throw new LinkageError("broken");
    });
    CountDownLatch after = new CountDownLatch(1);
    loop.execute(after::countDown);
    await().until(() -> after.getCount() == 0);
    assertThat(loop.fault()).contains("broken");
  }

  @Test
  void idleIsToldOnceAfterWork() {
    AtomicInteger idle = new AtomicInteger();
    loop.start(EngineLoop.Steps.NONE, idle::incrementAndGet);
    loop.execute(() -> {});
    await().until(() -> idle.get() == 1);
    await().during(Duration.ofMillis(300)).until(() -> idle.get() == 1);
    loop.execute(() -> {});
    await().until(() -> idle.get() == 2);
  }

  @Test
  void closingRunsWhatIsQueuedFirst() {
    AtomicInteger done = new AtomicInteger();
    for (int i = 0; i < 100; i++) {
      loop.execute(done::incrementAndGet);
    }
    loop.start(EngineLoop.Steps.NONE, () -> {});
    assertThat(loop.close(Duration.ofSeconds(5))).isTrue();
    assertThat(done).hasValue(100);
    assertThat(loop.offer(() -> {})).isFalse();
  }

  @Test
  void anErrorIsToldToWhoeverWaitsForOne() throws InterruptedException {
    AtomicInteger steps = new AtomicInteger();
    BooleanSupplier failing =
        () -> {
          if (steps.incrementAndGet() == 2) {
            throw new OutOfMemoryError("no room");
          }
          return true;
        };
    loop.start(new EngineLoop.Steps(List.of(failing), List.of()), () -> {});
    assertThat(loop.awaitFault()).contains("no room", "restart").isEqualTo(loop.fault());
    assertThat(loop.defects()).isEqualTo(1);
  }

  @Test
  void urgentWorkRunsInTheMidstOfAStepAndTheRestWaits() throws InterruptedException {
    List<String> seen = Collections.synchronizedList(new ArrayList<>());
    AtomicInteger tiles = new AtomicInteger();
    CountDownLatch begun = new CountDownLatch(1);
    CountDownLatch over = new CountDownLatch(1);
    BooleanSupplier interruptible =
        () -> {
          if (over.getCount() == 0) {
            return false;
          }
          begun.countDown();
          long due = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
          while (loop.interlude(due) > 0) {
            if (seen.contains("tile")) {
              // Long before it was due.
              seen.add("step");
              over.countDown();
              return true;
            }
          }
          return true;
        };
    BooleanSupplier urgent =
        () -> {
          boolean any = tiles.get() > 0;
          if (any) {
            tiles.decrementAndGet();
            seen.add("tile");
          }
          return any;
        };
    loop.start(new EngineLoop.Steps(List.of(interruptible, urgent), List.of(urgent)), () -> {});
    begun.await();
    loop.execute(() -> seen.add("command"));
    assertThat(loop.urgent().offer(tiles::incrementAndGet)).isTrue();
    over.await();
    await().until(() -> seen.size() == 3);
    assertThat(seen).containsExactly("tile", "step", "command");
    assertThat(loop.call(loop::interruptedNanos, Duration.ofSeconds(5))).isPositive();
  }
}
