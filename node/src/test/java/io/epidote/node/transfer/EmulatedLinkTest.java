package io.epidote.node.transfer;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.node.NodeRuntime;
import io.epidote.proto.stage.v1.Handle;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class EmulatedLinkTest {
  private static final long MS = 1_000_000;

  /** A MB/ms, after 2 ms. */
  private static final TransferOptions.Pace PACE = new TransferOptions.Pace(1e9, 2 * MS);

  @Test
  void pullsHaveTheLinkOneAfterTheOther() {
    EmulatedLink link = new EmulatedLink(PACE, 0);
    assertThat(link.ask(5_000_000, 10 * MS)).isEqualTo(17 * MS);
    // Its latency passes while the first one's bytes come.
    assertThat(link.ask(1_000_000, 11 * MS)).isEqualTo(18 * MS);
    assertThat(link.ask(0, 11 * MS)).isEqualTo(18 * MS);
    assertThat(link.ask(1_000_000, 100 * MS)).isEqualTo(103 * MS);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void whatIsPulledIsThereWhenTheLinkHasBroughtIt(boolean unix) {
    try (Producer producer = new Producer(Producer.LEASE, unix, 1, 1 << 20, 2);
        NodeRuntime consumer =
            Producer.node(
                "consumer",
                Producer.LEASE,
                new TransferOptions(
                    1 << 20, true, unix, Optional.of(new TransferOptions.Pace(20e6, 30 * MS))))) {
      Handle handle = producer.grant(1);
      ByteBuffer room = ByteBuffer.allocateDirect((int) handle.getBytes());
      CompletableFuture<PullEnd> ended = new CompletableFuture<>();
      long start = System.nanoTime();
      consumer.context().transfers().pull(handle, List.of(room), WireForm.EXACT, ended::complete);
      PullEnd end = ended.join();
      double least = 30 + handle.getBytes() / 20e3;
      assertThat((System.nanoTime() - start) / 1e6).isGreaterThan(least);
      assertThat(end).isInstanceOf(PullEnd.Pulled.class);
      assertThat(((PullEnd.Pulled) end).nanos() / 1e6).isGreaterThan(least);
      assertThat(room.slice(0, 1 << 20)).isEqualTo(producer.parts().getFirst());
      producer.assertEmpty();
    }
  }
}
