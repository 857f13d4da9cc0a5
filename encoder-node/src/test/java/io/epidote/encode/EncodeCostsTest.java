package io.epidote.encode;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class EncodeCostsTest {
  private final EncodeCosts costs = new EncodeCosts(16);

  /** Runs batches of the size that is asked for; the last one's size. */
  private int run(int batches, double stepMs, double tileMs) {
    int size = 0;
    for (int i = 0; i < batches; i++) {
      size = costs.batch(100);
      costs.batch(size, Math.round((stepMs + size * tileMs) * 1e6));
    }
    return size;
  }

  @Test
  void batchesAreAsLargeAsPays() {
    run(20, 1, 44);
    assertThat(costs.target()).isEqualTo(1);
    EncodeCosts dear = new EncodeCosts(16);
    for (int i = 0; i < 20; i++) {
      int size = dear.batch(100);
      dear.batch(size, (40 + 10L * size) * 1_000_000);
    }
    assertThat(dear.target()).isEqualTo(16);
  }

  /** Larger batches than ever wait cannot be measured, and need not be. */
  @Test
  void whatNeverWaitsIsNotWaitedFor() {
    for (int i = 0; i < 20; i++) {
      int size = costs.batch(2);
      costs.batch(size, (1 + 44L * size) * 1_000_000);
    }
    assertThat(costs.batch(2)).isEqualTo(1);
    assertThat(costs.target()).isEqualTo(1);
    assertThat(costs.tileMs()).isEqualTo(45);
  }

  @Test
  void aBadMomentIsForgotten() {
    // Batches of one tile are measured first, while something else has the machine.
    run(2, 1, 60);
    run(10, 1, 44);
    assertThat(costs.target()).isEqualTo(2);
    run(130, 1, 44);
    assertThat(costs.target()).isEqualTo(1);
    assertThat(costs.tileMs()).isBetween(44.0, 62.0);
  }

  @Test
  void sizesBesideTheBestAreTriedSeldom() {
    run(20, 1, 44);
    Set<Integer> sizes = new HashSet<>();
    int tried = 0;
    for (int i = 0; i < 256; i++) {
      int size = run(1, 1, 44);
      sizes.add(size);
      tried += size == 1 ? 0 : 1;
    }
    assertThat(sizes).containsExactlyInAnyOrder(1, 2);
    assertThat(tried).isBetween(1, 4);
  }
}
