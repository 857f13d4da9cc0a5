package io.epidote.engine.memory;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

class BlockPoolTest {
  private static final int BLOCKS = 12;

  /** Any order of allocations, shares and releases: nothing is lost, nothing is given out twice. */
  @Property
  void accountsHoldInAnyOrder(
      @ForAll @Size(max = 200) List<@IntRange(min = 0, max = 999) Integer> actions) {
    BlockPool pool = new BlockPool("test", 16, BLOCKS);
    List<int[]> held = new ArrayList<>();
    for (int action : actions) {
      int choice = action / 3;
      switch (action % 3) {
        case 0 -> {
          int count = choice % 5;
          int before = pool.free();
          Optional<int[]> taken = pool.tryAllocate(count);
          assertThat(taken.isPresent()).isEqualTo(count <= before);
          taken.ifPresent(held::add);
        }
        case 1 -> {
          if (!held.isEmpty()) {
            int[] shared = held.get(choice % held.size());
            pool.retain(shared);
            held.add(shared);
          }
        }
        default -> {
          if (!held.isEmpty()) {
            pool.release(held.remove(choice % held.size()));
          }
        }
      }
      pool.checkIntegrity();
      long distinct = held.stream().flatMapToInt(java.util.Arrays::stream).distinct().count();
      assertThat(pool.used()).isEqualTo((int) distinct);
      assertThat(pool.used() + pool.free()).isEqualTo(pool.total());
    }
    held.forEach(pool::release);
    assertThat(pool.used()).isZero();
    pool.checkIntegrity();
  }

  @Example
  void blocksAreApartInMemory() {
    BlockPool pool = new BlockPool("test", 16, 3);
    int[] ids = pool.tryAllocate(3).orElseThrow();
    for (int id : ids) {
      pool.block(id).putLong(0, id).putLong(8, -id);
    }
    for (int id : ids) {
      assertThat(pool.block(id).getLong(0)).isEqualTo(id);
      assertThat(pool.plane(0).get(JAVA_LONG, id * 16 + 8)).isEqualTo(-id);
    }
  }

  @Example
  void aBlockMayBeDividedOverPlanes() {
    BlockPool pool = new BlockPool("test", 2, 8, 3);
    int[] ids = pool.tryAllocate(3).orElseThrow();
    for (int id : ids) {
      assertThat(pool.parts(id)).hasSize(2);
      pool.part(id, 0).putLong(0, id);
      pool.part(id, 1).putLong(0, -id);
    }
    for (int id : ids) {
      assertThat(pool.plane(0).get(JAVA_LONG, id * 8)).isEqualTo(id);
      assertThat(pool.plane(1).get(JAVA_LONG, id * 8)).isEqualTo(-id);
    }
    assertThat(pool.blockBytes()).isEqualTo(16);
    assertThat(pool.bytes()).isEqualTo(48);
    assertThatThrownBy(() -> pool.block(0)).hasMessageContaining("divided over 2 planes");
  }

  @Example
  void misuseIsNamed() {
    BlockPool pool = new BlockPool("kv", 16, 2);
    int[] ids = pool.tryAllocate(1).orElseThrow();
    pool.release(ids);
    assertThatThrownBy(() -> pool.release(ids))
        .hasMessageContaining("kv block 0 was released twice");
    assertThatThrownBy(() -> pool.retain(ids)).hasMessageContaining("is free");
    assertThatThrownBy(() -> pool.tryOwn(ids[0])).hasMessageContaining("is free");
    assertThatThrownBy(() -> new BlockPool("kv", 16, 0)).hasMessageContaining("at least one block");
  }

  /** 2.5 GiB in each of two planes; only the pages that are written take memory. */
  @Example
  void neitherAPlaneNorAPoolEndsAtTwoGibibytes() {
    int planeBytes = 1 << 20;
    int blocks = 5 << 9;
    BlockPool pool = new BlockPool("kv", 2, planeBytes, blocks);
    assertThat(pool.bytes()).isEqualTo(5L << 30);
    assertThat(pool.tryAllocate(blocks)).isPresent();
    for (int id = 0; id < blocks; id += 511) {
      pool.part(id, 0).putLong(0, id);
      pool.part(id, 1).putLong(planeBytes - 8, -id);
    }
    for (int id = 0; id < blocks; id += 511) {
      assertThat(pool.plane(0).get(JAVA_LONG, (long) id * planeBytes)).isEqualTo(id);
      assertThat(pool.plane(1).get(JAVA_LONG, (id + 1L) * planeBytes - 8)).isEqualTo(-id);
      assertThat(pool.part(id, 1).getLong(planeBytes - 8)).isEqualTo(-id);
    }
  }
}
