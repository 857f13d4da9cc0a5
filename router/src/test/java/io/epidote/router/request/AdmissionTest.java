package io.epidote.router.request;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException;
import io.epidote.router.request.Admission.Ticket;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
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
    Admission admission = new Admission(1, 1);
    admission.enter();
    admission.enter();
    assertThatThrownBy(admission::enter)
        .isInstanceOf(EpidoteException.Exhausted.class)
        .hasMessageContaining("1 requests are at work and 1 wait");
  }

  @Test
  void admitsInTheOrderOfArrival() {
    Admission admission = new Admission(1, 3);
    Ticket first = admission.enter();
    Ticket second = admission.enter();
    Ticket third = admission.enter();
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
  void whoGivesUpWaitingFreesTheQueueAndIsToldSo() {
    Admission admission = new Admission(1, 1);
    admission.enter();
    Ticket waiting = admission.enter();
    waiting.close();
    assertThatThrownBy(waiting::await).isInstanceOf(CancellationException.class);
    assertThat(admission.waiting()).isZero();
    assertThat(admission.running()).isEqualTo(1);
  }

  @Test
  void closingTurnsAwayThoseWhoWaitAndThoseWhoCome() {
    Admission admission = new Admission(1, 1);
    Ticket running = admission.enter();
    Ticket waiting = admission.enter();
    admission.close();
    assertThatThrownBy(waiting::await).isInstanceOf(EpidoteException.Unavailable.class);
    assertThatThrownBy(admission::enter).isInstanceOf(EpidoteException.Unavailable.class);
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
    Admission admission = new Admission(places, queue);
    List<Ticket> open = new ArrayList<>();
    for (int step : steps) {
      if (step >= 0) {
        try {
          open.add(admission.enter());
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

  @Test
  void manyThreadsShareThePlaces() {
    Admission admission = new Admission(4, 1000);
    Deque<Throwable> failures = new ArrayDeque<>();
    try (ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
      List<CompletableFuture<Void>> all = new ArrayList<>();
      for (int i = 0; i < 500; i++) {
        all.add(
            CompletableFuture.runAsync(
                () -> {
                  try (Ticket ticket = admission.enter()) {
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
