package io.epidote.router.adapters;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class AdapterGateTest {
  private static final Duration LONG = Duration.ofSeconds(20);
  private final AdapterGate gate = new AdapterGate();

  private AdapterGate.Pass enter(String adapter) {
    try {
      return gate.enter(adapter);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  private boolean pause(String adapter, Duration atMost) {
    try {
      return gate.pause(adapter, atMost);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void aChangeWaitsForThoseOnTheWayAndTheyForIt() {
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      AdapterGate.Pass first = enter("a");
      AdapterGate.Pass second = enter("a");
      CompletableFuture<Boolean> change =
          CompletableFuture.supplyAsync(() -> pause("a", LONG), threads);
      first.leave();
      first.leave();
      assertThat(change).isNotDone();
      // Others are not held up.
      enter("b").leave();
      enter("").leave();
      second.leave();
      assertThat(change.orTimeout(10, TimeUnit.SECONDS).join()).isTrue();
      CompletableFuture<AdapterGate.Pass> late =
          CompletableFuture.supplyAsync(() -> enter("a"), threads);
      assertThat(late).isNotDone();
      gate.resume("a");
      late.orTimeout(10, TimeUnit.SECONDS).join().leave();
    }
    assertThat(gate.size()).isZero();
  }

  @Test
  void aChangeDoesNotWaitForEver() {
    AdapterGate.Pass stuck = enter("a");
    assertThat(pause("a", Duration.ofMillis(20))).isFalse();
    gate.resume("a");
    stuck.leave();
    assertThat(gate.size()).isZero();
  }
}
