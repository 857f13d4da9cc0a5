package io.epidote.router.request;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException;
import io.epidote.node.engine.Flow;
import io.epidote.node.engine.TenantWeights;
import io.epidote.router.request.Admission.Ticket;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class AdmissionTest {
  @Test
  void refusesWhenTheQueueIsFullAndSaysSo() {
    Admission admission = new Admission(1, 1, TenantWeights.EQUAL);
    admission.enter(Flow.NONE, 1);
    admission.enter(Flow.NONE, 1);
    assertThatThrownBy(() -> admission.enter(Flow.NONE, 1))
        .isInstanceOf(EpidoteException.Exhausted.class)
        .hasMessageContaining("1 requests are at work and 1 wait");
  }

  @Test
  void admitsInTheOrderOfArrival() {
    Admission admission = new Admission(1, 3, TenantWeights.EQUAL);
    Ticket first = admission.enter(Flow.NONE, 1);
    Ticket second = admission.enter(Flow.NONE, 1);
    Ticket third = admission.enter(Flow.NONE, 1);
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      CompletableFuture<Void> thirdIn = CompletableFuture.runAsync(third::await, threads);
      first.close();
      second.await();
      assertThat(thirdIn).isNotDone();
      second.close();
      thirdIn.orTimeout(10, TimeUnit.SECONDS).join();
    }
    assertThat(admission.running()).isEqualTo(1);
  }

  @Test
  void urgentRequestsOfATenantGoBeforeItsOthersEvenIntoAFullQueue() {
    Admission admission = new Admission(1, 2, TenantWeights.EQUAL);
    Ticket running = admission.enter(Flow.NONE, 1);
    Ticket calm = admission.enter(new Flow("", "", 5), 1);
    Ticket calmer = admission.enter(new Flow("", "", 6), 1);
    Ticket urgent = admission.enter(new Flow("", "", -1), 1);
    assertThatThrownBy(calmer::await).isInstanceOf(EpidoteException.Exhausted.class);
    assertThatThrownBy(() -> admission.enter(new Flow("", "", 5), 1))
        .isInstanceOf(EpidoteException.Exhausted.class);
    running.close();
    assertThat(urgent.isAdmitted()).isTrue();
    assertThat(calm.isAdmitted()).isFalse();
  }

  @Test
  void whoGivesUpWaitingFreesTheQueueAndIsToldSo() {
    Admission admission = new Admission(1, 1, TenantWeights.EQUAL);
    admission.enter(Flow.NONE, 1);
    Ticket waiting = admission.enter(Flow.NONE, 1);
    waiting.close();
    assertThatThrownBy(waiting::await).isInstanceOf(CancellationException.class);
    assertThat(admission.waiting()).isZero();
    assertThat(admission.running()).isEqualTo(1);
  }

  @Test
  void closingTurnsAwayThoseWhoWaitAndThoseWhoCome() {
    Admission admission = new Admission(1, 1, TenantWeights.EQUAL);
    Ticket running = admission.enter(Flow.NONE, 1);
    Ticket waiting = admission.enter(Flow.NONE, 1);
    admission.close();
    assertThatThrownBy(waiting::await).isInstanceOf(EpidoteException.Unavailable.class);
    assertThatThrownBy(() -> admission.enter(Flow.NONE, 1))
        .isInstanceOf(EpidoteException.Unavailable.class);
    waiting.close();
    running.close();
    assertThat(admission.running()).isZero();
  }

  /** Entering and leaving in any order: never more than allowed, never idle while one waits. */
  @Property(tries = 500)
  void boundsHoldInAnyOrder(
      @ForAll @IntRange(min = 1, max = 4) int places,
      @ForAll @IntRange(max = 4) int queue,
      @ForAll @Size(max = 60) List<@IntRange(min = -8, max = 8) Integer> steps) {
    Admission admission = new Admission(places, queue, TenantWeights.EQUAL);
    List<Ticket> open = new ArrayList<>();
    for (int step : steps) {
      if (step >= 0) {
        try {
          open.add(admission.enter(Flow.NONE, 1));
        } catch (EpidoteException.Exhausted full) {
          assertThat(open).hasSize(places + queue);
        }
      } else if (!open.isEmpty()) {
        Ticket leaving = open.remove(-step % open.size());
        leaving.close();
        leaving.close();
      }
      assertThat(admission.running()).isEqualTo(Math.min(places, open.size()));
      assertThat(admission.waiting()).isEqualTo(Math.max(0, open.size() - places));
    }
    open.forEach(Ticket::close);
    assertThat(admission.running()).isZero();
    assertThat(admission.waiting()).isZero();
  }

  /** A tenant that floods waits for itself: others' requests are next whenever a place is free. */
  @Test
  void placesGoToTenantsInTurn() {
    Admission admission = new Admission(1, 100, new TenantWeights(Map.of("twice", 2.0)));
    Ticket running = admission.enter(new Flow("flood", "", 0), 10);
    List<Ticket> waiting = new ArrayList<>();
    for (String tenant : List.of("flood", "twice", "small")) {
      for (int i = 0; i < 12; i++) {
        waiting.add(admission.enter(new Flow(tenant, "", 0), 10));
      }
    }
    List<String> order = new ArrayList<>();
    for (int i = 0; i < 12; i++) {
      running.worked(10);
      running.close();
      running = waiting.stream().filter(Ticket::isAdmitted).findFirst().orElseThrow();
      waiting.remove(running);
      order.add(running.flow().tenant());
    }
    assertThat(order.stream().filter("twice"::equals).count()).isEqualTo(6);
    assertThat(order.stream().filter("small"::equals).count()).isEqualTo(3);
    assertThat(order.subList(0, 3)).contains("small", "twice");
  }

  /** Who is told that a prediction was wrong pays for what it took. */
  @Test
  void whatWasTakenCountsAndNotWhatWasPredicted() {
    Admission admission = new Admission(1, 100, TenantWeights.EQUAL);
    Ticket running = admission.enter(new Flow("greedy", "", 0), 1);
    List<Ticket> waiting = new ArrayList<>();
    for (int i = 0; i < 30; i++) {
      waiting.add(admission.enter(new Flow("greedy", "", 0), 1));
      waiting.add(admission.enter(new Flow("modest", "", 0), 1));
    }
    int modest = 0;
    for (int i = 0; i < 22; i++) {
      running.worked(running.flow().tenant().equals("greedy") ? 10 : 1);
      running.close();
      running = waiting.stream().filter(Ticket::isAdmitted).findFirst().orElseThrow();
      waiting.remove(running);
      modest += running.flow().tenant().equals("modest") ? 1 : 0;
    }
    assertThat(modest).isBetween(18, 21);
  }

  @Test
  void aFullQueueTurnsAwayWhoHasMostOfIt() {
    Admission admission = new Admission(1, 4, TenantWeights.EQUAL);
    Ticket running = admission.enter(new Flow("flood", "", 0), 1);
    List<Ticket> flood = new ArrayList<>();
    for (int i = 0; i < 4; i++) {
      flood.add(admission.enter(new Flow("flood", "", 0), 1));
    }
    assertThatThrownBy(() -> admission.enter(new Flow("flood", "", 0), 1))
        .isInstanceOf(EpidoteException.Exhausted.class);
    Ticket other = admission.enter(new Flow("other", "", 0), 1);
    assertThatThrownBy(flood.getLast()::await).isInstanceOf(EpidoteException.Exhausted.class);
    Ticket second = admission.enter(new Flow("other", "", 0), 1);
    assertThatThrownBy(flood.get(2)::await).isInstanceOf(EpidoteException.Exhausted.class);
    // Now both have as much.
    assertThatThrownBy(() -> admission.enter(new Flow("other", "", 0), 1))
        .isInstanceOf(EpidoteException.Exhausted.class);
    assertThat(admission.waiting()).isEqualTo(4);
    running.close();
    assertThat(other.isAdmitted() || flood.getFirst().isAdmitted()).isTrue();
    flood.forEach(Ticket::close);
    other.close();
    second.close();
    assertThat(admission.waiting()).isZero();
    assertThat(admission.running()).isZero();
  }

  @Test
  void manyThreadsShareThePlaces() {
    Admission admission = new Admission(4, 1000, TenantWeights.EQUAL);
    Deque<Throwable> failures = new ArrayDeque<>();
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      List<CompletableFuture<Void>> all = new ArrayList<>();
      for (int i = 0; i < 500; i++) {
        all.add(
            CompletableFuture.runAsync(
                () -> {
                  try (Ticket ticket = admission.enter(Flow.NONE, 1)) {
                    ticket.await();
                    assertThat(admission.running()).isBetween(1, 4);
                  }
                },
                threads));
      }
      for (CompletableFuture<Void> one : all) {
        try {
          one.orTimeout(20, TimeUnit.SECONDS).join();
        } catch (CompletionException e) {
          failures.add(e);
        }
      }
    }
    assertThat(failures).isEmpty();
    assertThat(admission.running()).isZero();
  }
}
