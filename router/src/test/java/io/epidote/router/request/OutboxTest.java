package io.epidote.router.request;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class OutboxTest {
  /** A client that takes as many events as it has room for. */
  private static final class Client implements Outbox.Sink<Integer> {
    final AtomicInteger room = new AtomicInteger();
    final List<Integer> read = new ArrayList<>();

    @Override
    public boolean ready() {
      return room.get() > 0;
    }

    @Override
    public void write(Integer event) {
      room.decrementAndGet();
      read.add(event);
    }
  }

  @Test
  void writesNoFasterThanTheClientReadsAndInOrder() {
    Client client = new Client();
    Outbox<Integer> outbox = new Outbox<>(Runnable::run, client);
    for (int i = 0; i < 5; i++) {
      assertThat(outbox.offer(i, 1)).isTrue();
    }
    assertThat(client.read).isEmpty();
    client.room.set(3);
    outbox.drain();
    assertThat(client.read).containsExactly(0, 1, 2);
    client.room.set(9);
    outbox.drain();
    assertThat(client.read).containsExactly(0, 1, 2, 3, 4);
  }

  @Test
  void isBoundedByEvents() {
    Outbox<Integer> outbox = new Outbox<>(Runnable::run, new Client());
    for (int i = 0; i < Outbox.MAX_EVENTS; i++) {
      assertThat(outbox.offer(i, 0)).isTrue();
    }
    assertThat(outbox.offer(0, 0)).isFalse();
  }

  @Test
  void isBoundedByBytesAndTakesMoreOnceTheClientHasRead() {
    Client client = new Client();
    Outbox<Integer> outbox = new Outbox<>(Runnable::run, client);
    assertThat(outbox.offer(1, Outbox.MAX_BYTES)).isTrue();
    assertThat(outbox.offer(2, 1)).isFalse();
    client.room.set(1);
    outbox.drain();
    assertThat(outbox.offer(3, Outbox.MAX_BYTES)).isTrue();
  }

  @Test
  void theEndIsTakenWhateverWaits() {
    Client client = new Client();
    Outbox<Integer> outbox = new Outbox<>(Runnable::run, client);
    assertThat(outbox.offer(1, Outbox.MAX_BYTES)).isTrue();
    outbox.put(2, 10);
    client.room.set(2);
    outbox.drain();
    assertThat(client.read).containsExactly(1, 2);
  }
}
