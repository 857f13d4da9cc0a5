package io.epidote.engine.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import net.jqwik.api.Example;

class SwapSpaceTest {
  @Example
  void aBlockComesBackIntoAnotherAsItWas() {
    BlockPool pool = new BlockPool("kv", 2, 16, 3);
    SwapSpace swap = new SwapSpace(pool, 2);
    int[] ids = pool.tryAllocate(3).orElseThrow();
    for (int plane = 0; plane < 2; plane++) {
      pool.part(ids[0], plane).putLong(0, plane + 1).putLong(8, -plane);
      pool.part(ids[1], plane).putLong(0, 77);
    }
    ByteBuffer first = swap.tryStore(ids[0]).orElseThrow();
    ByteBuffer second = swap.tryStore(ids[1]).orElseThrow();
    assertThat(swap.tryStore(ids[2])).isEmpty();
    assertThat(swap.used()).isEqualTo(2);

    pool.part(ids[0], 0).putLong(0, 99);
    swap.restore(first, ids[2]);
    for (int plane = 0; plane < 2; plane++) {
      assertThat(pool.part(ids[2], plane).getLong(0)).isEqualTo(plane + 1);
      assertThat(pool.part(ids[2], plane).getLong(8)).isEqualTo(-plane);
    }
    swap.drop(second);
    assertThat(swap.used()).isZero();
    assertThat(swap.bytes()).isEqualTo(64);
    // Taken again, not anew.
    assertThat(swap.tryStore(ids[1])).isPresent();
    assertThat(swap.bytes()).isEqualTo(64);
  }

  @Example
  void withoutRoomNothingGoesOut() {
    BlockPool pool = new BlockPool("kv", 16, 1);
    SwapSpace swap = new SwapSpace(pool, 0);
    assertThat(swap.tryStore(pool.tryAllocate(1).orElseThrow()[0])).isEmpty();
    assertThat(swap.bytes()).isZero();
    assertThatThrownBy(() -> new SwapSpace(pool, -1)).hasMessageContaining("0 or more");
  }
}
