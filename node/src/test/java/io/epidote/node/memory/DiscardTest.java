package io.epidote.node.memory;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.memory.BlockPool;
import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;

/** What a pool's blocks were used for goes back to the system at once, without a collection. */
@EnabledOnOs(OS.LINUX)
final class DiscardTest {
  @Test
  void aPoolThatIsDiscardedTakesNoMemory() throws IOException {
    BlockPool pool = new BlockPool("kv", 4, 1 << 20, 4);
    int[] blocks = pool.tryAllocate(4).orElseThrow();
    for (int block : blocks) {
      pool.parts(block).forEach(part -> part.put(new byte[part.capacity()]));
    }
    pool.release(blocks);
    assertThat(resident(pool)).isEqualTo(pool.bytes());
    pool.discard();
    assertThat(resident(pool)).isZero();
  }

  private static long resident(BlockPool pool) throws IOException {
    long bytes = 0;
    try (ResidentPages pages = new ResidentPages(4096)) {
      for (int plane = 0; plane < pool.planes(); plane++) {
        bytes += pages.bytes(pool.plane(plane));
      }
    }
    return bytes;
  }
}
