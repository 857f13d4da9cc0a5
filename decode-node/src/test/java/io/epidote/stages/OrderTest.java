package io.epidote.stages;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.node.engine.QueueOrder;
import io.epidote.node.engine.QueueOrder.Policy;
import io.epidote.stages.RouterDriver.Run;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;

/** Whatever the order, everybody is answered, the same, and nothing stays in use. */
class OrderTest {
  /** Pools and batches are so small that nearly everybody waits for something. */
  @Property(tries = 24)
  void everyOrderAnswersAllAlikeAndLeavesNothing(
      @ForAll Policy policy,
      @ForAll("topologies") String topology,
      @ForAll @IntRange(min = 1, max = 1000) int seed) {
    TestNode.Options options =
        TestNode.Options.defaults()
            .withOrder(QueueOrder.of(policy))
            .withKvBlocks(24)
            .withSwapBlocks(16)
            .withMediaBlocks(13)
            .withMaxBatch(3);
    try (Cluster cluster = new Cluster(topology, Set.of(), options)) {
      List<ToyRequest> requests = new ArrayList<>();
      List<Run> runs = new ArrayList<>();
      for (int i = 0; i < 24; i++) {
        ToyRequest request = ToyRequest.random(seed * 100L + i);
        boolean cancelled = i % 6 == 5;
        Run run =
            cluster.driver.start(
                request,
                (moment, running) -> {
                  if (cancelled && moment == RouterDriver.Moment.KV_READY) {
                    running.cancel();
                  }
                });
        if (!cancelled) {
          requests.add(request);
          runs.add(run);
        }
      }
      for (int i = 0; i < runs.size(); i++) {
        assertThat(Cluster.await(runs.get(i)).tokens())
            .as("answer to %s", requests.get(i))
            .isEqualTo(requests.get(i).expected(Set.of()));
      }
      cluster.assertEmpty();
    }
  }

  @Provide
  Arbitrary<String> topologies() {
    return Arbitraries.of("E-P-D", "EP-D", "E-PD", "EPD");
  }
}
