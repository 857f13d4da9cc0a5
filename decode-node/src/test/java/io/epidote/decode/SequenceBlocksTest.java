package io.epidote.decode;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.memory.BlockPool;
import io.epidote.node.kv.KvMemory;
import org.junit.jupiter.api.Test;

class SequenceBlocksTest {
  private final BlockPool pool = new BlockPool("kv", 2, 16, 3);
  private final KvMemory kv = new KvMemory(pool, 4, false);

  /** Two answers that go on from one prompt, whose last block is not full. */
  @Test
  void aSharedBlockIsCopiedBeforeItIsWritten() {
    int[] prompt = pool.tryAllocate(2).orElseThrow();
    pool.part(prompt[1], 0).putLong(0, 42);
    SequenceBlocks first = new SequenceBlocks(kv);
    SequenceBlocks second = new SequenceBlocks(kv);
    first.append(prompt);
    pool.retain(prompt);
    second.append(prompt);

    assertThat(second.own(1)).isTrue();
    assertThat(second.table()[0]).isEqualTo(prompt[0]);
    assertThat(second.table()[1]).isNotEqualTo(prompt[1]);
    pool.part(second.table()[1], 0).putLong(8, 2);
    assertThat(first.own(1)).isTrue();
    assertThat(first.table()).isEqualTo(prompt);
    pool.part(prompt[1], 0).putLong(8, 1);

    assertThat(pool.part(second.table()[1], 0).getLong(0)).isEqualTo(42);
    assertThat(pool.part(second.table()[1], 0).getLong(8)).isEqualTo(2);
    first.release();
    second.release();
    assertThat(pool.used()).isZero();
  }

  @Test
  void withoutABlockForTheCopyNothingChanges() {
    int[] all = pool.tryAllocate(3).orElseThrow();
    SequenceBlocks sequence = new SequenceBlocks(kv);
    sequence.append(all);
    pool.retain(all[2]);
    assertThat(sequence.own(2)).isFalse();
    assertThat(sequence.table()).isEqualTo(all);
    pool.release(all[2]);
    assertThat(sequence.own(2)).isTrue();
    assertThat(sequence.table()).isEqualTo(all);
  }
}
