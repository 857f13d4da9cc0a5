package io.epidote.node.lease;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException;
import io.epidote.engine.memory.BlockPool;
import io.epidote.proto.stage.v1.Handle;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;

/**
 * In any order of operations blocks are freed exactly once, never under a pull, and none is left.
 */
final class LeaseTableTest {
  private static final Duration PERIOD = Duration.ofSeconds(30);

  private enum Kind {
    GRANT,
    ACQUIRE,
    UNPIN,
    RELEASE,
    RENEW,
    REVOKE,
    SHARE,
    DROP_SHARED,
    PASS_TIME
  }

  private record Operation(Kind kind, int which) {}

  /** The table over a pool, with an engine thread that is this thread. */
  private static final class World {
    final BlockPool pool = new BlockPool("kv", 64, 64);
    final List<Runnable> engine = new ArrayList<>();
    long now;
    final LeaseTable table =
        new LeaseTable("node", () -> "host:1", () -> 2, 77, PERIOD, () -> now, engine::add);
    final List<Handle> handles = new ArrayList<>();
    final Map<Long, Integer> freed = new HashMap<>();
    final List<LeaseTable.Pin> pins = new ArrayList<>();
    final Map<LeaseTable.Pin, Long> pinned = new HashMap<>();
    final List<SharedBlocks> shared = new ArrayList<>();

    void runEngine() {
      while (!engine.isEmpty()) {
        engine.removeFirst().run();
      }
    }

    void apply(Operation operation) {
      switch (operation.kind()) {
        case GRANT ->
            pool.tryAllocate(1 + operation.which() % 3)
                .ifPresent(blocks -> handles.add(grant(blocks)));
        case ACQUIRE -> pick(handles, operation).ifPresent(this::acquire);
        case UNPIN -> pick(pins, operation).ifPresent(this::unpin);
        case RELEASE -> pick(handles, operation).ifPresent(table::release);
        case RENEW -> pick(handles, operation).ifPresent(table::renew);
        case REVOKE -> pick(handles, operation).ifPresent(table::revoke);
        case SHARE -> pick(handles, operation).flatMap(table::tryShare).ifPresent(shared::add);
        case DROP_SHARED ->
            pick(shared, operation)
                .ifPresent(blocks -> {
                  blocks.release();
                  shared.remove(blocks);
                });
        case PASS_TIME -> {
          now += PERIOD.toNanos() / 2;
          table.expire();
        }
      }
    }

    Handle grant(int[] blocks) {
      long[] id = new long[1];
      Handle handle =
          table.grant(
              pool,
              blocks,
              end -> {
                freed.merge(id[0], 1, Integer::sum);
                assertThat(pinned.values())
                    .as("pins at the time of the free")
                    .doesNotContain(id[0]);
                pool.release(blocks);
              });
      id[0] = handle.getId();
      return handle;
    }

    void acquire(Handle handle) {
      try {
        LeaseTable.Pin pin = table.acquire(handle, () -> {});
        pins.add(pin);
        pinned.put(pin, handle.getId());
      } catch (EpidoteException.NotFound e) {
        // Over: that is an answer, too.
      }
    }

    void unpin(LeaseTable.Pin pin) {
      pins.remove(pin);
      pinned.remove(pin);
      pin.close();
      pin.close();
    }

    static <T> Optional<T> pick(List<T> from, Operation operation) {
      return from.isEmpty()
          ? Optional.empty()
          : Optional.of(from.get(operation.which() % from.size()));
    }
  }

  @Provide
  Arbitrary<List<Operation>> operations() {
    return Combinators.combine(Arbitraries.of(Kind.class), Arbitraries.integers().between(0, 50))
        .as(Operation::new)
        .list()
        .ofMaxSize(80);
  }

  @Property(tries = 500)
  void everythingIsFreedExactlyOnce(@ForAll("operations") List<Operation> operations) {
    World world = new World();
    for (Operation operation : operations) {
      world.apply(operation);
      if (operation.which() % 3 == 0) {
        world.runEngine();
        world.pool.checkIntegrity();
      }
      assertThat(world.freed.values()).allMatch(times -> times == 1);
    }
    List.copyOf(world.pins).forEach(world::unpin);
    world.now += PERIOD.toNanos();
    world.table.expire();
    assertThat(world.table.outstanding()).isZero();
    world.runEngine();
    world.shared.forEach(SharedBlocks::release);
    assertThat(world.freed).hasSize(world.handles.size());
    assertThat(world.freed.values()).allMatch(times -> times == 1);
    assertThat(world.pool.used()).isZero();
  }

  @Example
  void aPinHoldsBlocksOfALeaseThatIsOver() {
    World world = new World();
    Handle handle = world.grant(world.pool.tryAllocate(2).orElseThrow());
    AtomicInteger told = new AtomicInteger();
    LeaseTable.Pin pin = world.table.acquire(handle, told::incrementAndGet);
    assertThat(world.table.revoke(handle)).isTrue();
    assertThat(told).hasValue(1);
    world.runEngine();
    assertThat(world.pool.used()).isEqualTo(2);
    assertThat(world.table.outstanding()).isEqualTo(1);
    pin.close();
    world.runEngine();
    assertThat(world.pool.used()).isZero();
    assertThat(world.table.outstanding()).isZero();
  }

  @Example
  void renewalPutsTheExpiryOff() {
    World world = new World();
    Handle handle = world.grant(world.pool.tryAllocate(1).orElseThrow());
    for (int i = 0; i < 5; i++) {
      world.now += PERIOD.toNanos() - 1;
      assertThat(world.table.expire()).isZero();
      assertThat(world.table.renew(handle)).isTrue();
    }
    world.now += PERIOD.toNanos();
    assertThat(world.table.expire()).isEqualTo(1);
    assertThat(world.table.renew(handle)).isFalse();
  }

  @Example
  void aHandleOfAnotherLifeOrNodeIsNotHeld() {
    World world = new World();
    Handle handle = world.grant(world.pool.tryAllocate(1).orElseThrow());
    for (Handle other :
        List.of(
            handle.toBuilder().setEpoch(78).build(),
            handle.toBuilder().setNodeId("other").build(),
            handle.toBuilder().setId(99).build())) {
      assertThat(world.table.release(other)).isFalse();
      assertThat(world.table.renew(other)).isFalse();
      assertThat(world.table.tryShare(other)).isEmpty();
      assertThatThrownBy(() -> world.table.acquire(other, () -> {}))
          .isInstanceOf(EpidoteException.NotFound.class)
          .hasMessageContaining("not held here");
    }
    assertThat(world.table.release(handle)).isTrue();
  }

  @Example
  void sharingTakesOverTheBlocks() {
    World world = new World();
    int[] blocks = world.pool.tryAllocate(2).orElseThrow();
    Handle handle = world.table.grant(world.pool, blocks, end -> world.pool.release(blocks));
    assertThat(handle.getBytes()).isEqualTo(2 * 64);
    SharedBlocks shared = world.table.tryShare(handle).orElseThrow();
    world.runEngine();
    assertThat(world.pool.used()).isEqualTo(2);
    assertThat(shared.blocks()).isEqualTo(blocks);
    shared.release();
    assertThat(world.pool.used()).isZero();
  }

  @Example
  void racingEndsFreeOnce() throws InterruptedException {
    for (int round = 0; round < 200; round++) {
      AtomicInteger freed = new AtomicInteger();
      BlockPool pool = new BlockPool("kv", 64, 1);
      LeaseTable table =
          new LeaseTable(
              "node", () -> "host:1", () -> 2, 1, PERIOD, System::nanoTime, Runnable::run);
      Handle handle =
          table.grant(pool, pool.tryAllocate(1).orElseThrow(), end -> freed.incrementAndGet());
      LeaseTable.Pin pin = table.acquire(handle, () -> {});
      CountDownLatch start = new CountDownLatch(1);
      List<Thread> threads =
          List.<Runnable>of(() -> table.release(handle), () -> table.revoke(handle), pin::close)
              .stream()
              .map(end ->
                  Thread.ofVirtual()
                      .start(() -> {
                        try {
                          start.await();
                          end.run();
                        } catch (InterruptedException e) {
                          Thread.currentThread().interrupt();
                        }
                      }))
              .toList();
      start.countDown();
      for (Thread thread : threads) {
        thread.join();
      }
      assertThat(freed).hasValue(1);
      assertThat(table.outstanding()).isZero();
    }
  }
}
