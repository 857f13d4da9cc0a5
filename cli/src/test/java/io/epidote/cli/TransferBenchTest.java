package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.node.transfer.TransferOptions;
import org.junit.jupiter.api.Test;

class TransferBenchTest {
  @Test
  void everyMeasurementIsTaken() {
    TransferOptions tcp = new TransferOptions(1 << 20, true, false);
    TransferOptions unix = new TransferOptions(1 << 20, false, true);
    try (TransferBench bench = new TransferBench(8 << 20, 128 << 10)) {
      assertThat(bench.raw(1 << 20, 2)).isPositive();
      assertThat(bench.pull(tcp, 2)).isPositive();
      assertThat(bench.pull(unix, 2)).isPositive();
      assertThat(bench.heapKibPerMib(tcp, 2)).isPositive();
      assertThat(bench.smallMessages(10)).hasSize(10).isSorted();
      assertThat(bench.smallMessagesUnderBulk(tcp, 10)).hasSize(10).isSorted();
    }
  }
}
