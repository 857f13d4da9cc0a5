package io.epidote.engine.memory;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class MediaCacheTest {
  private static final MediaKeys KEYS = new MediaKeys("encoder fp32");

  private final BlockPool pool = new BlockPool("media", 16, 3);
  private final MediaCache cache = new MediaCache(pool);

  private static BlockKey key(int picture) {
    return KEYS.key(item(picture), 0);
  }

  private static byte[] item(int picture) {
    byte[] item = new byte[MediaKeys.DIGEST_BYTES];
    item[7] = (byte) picture;
    return item;
  }

  /** As a request that encodes and is done. */
  private void encode(int picture, double cost) {
    int block = pool.tryAllocate(1).orElseThrow()[0];
    pool.block(block).putInt(0, picture);
    cache.add(key(picture), MediaKeys.tag(item(picture), 0), block, cost);
    pool.release(block);
  }

  private boolean hit(int picture) {
    OptionalInt block = cache.retain(key(picture));
    if (block.isEmpty()) {
      return false;
    }
    assertThat(pool.block(block.getAsInt()).getInt(0)).isEqualTo(picture);
    pool.release(block.getAsInt());
    return true;
  }

  @Test
  void keysDependOnBytesTileAndEncoder() {
    assertThat(
            List.of(
                key(1),
                key(2),
                KEYS.key(item(1), 1),
                new MediaKeys("encoder int8").key(item(1), 0)))
        .doesNotHaveDuplicates();
    assertThat(MediaKeys.tag(item(1), 0)).isNotEqualTo(MediaKeys.tag(item(1), 1));
  }

  @Test
  void whatCostsTheSameGoesInTheOrderOfItsLastUse() {
    encode(1, 5);
    encode(2, 5);
    encode(3, 5);
    assertThat(hit(1)).isTrue();
    encode(4, 5);
    assertThat(hit(2)).isFalse();
    assertThat(hit(3) && hit(1) && hit(4)).isTrue();
    assertThat(cache.evictions()).isEqualTo(1);
    assertThat(cache.tags(2)).containsExactly(MediaKeys.tag(item(1), 0), MediaKeys.tag(item(4), 0));
  }

  @Test
  void whatIsDearStaysLongerButNotForEver() {
    encode(1, 20);
    encode(2, 5);
    encode(3, 5);
    encode(4, 5);
    encode(5, 5);
    assertThat(hit(2) || hit(3)).isFalse();
    for (int cheap = 6; cheap < 20; cheap++) {
      encode(cheap, 5);
    }
    assertThat(hit(1)).isFalse();
  }

  @Test
  void aBlockThatIsHeldIsNeverEvicted() {
    encode(1, 1);
    int held = cache.retain(key(1)).orElseThrow();
    encode(2, 9);
    encode(3, 9);
    encode(4, 9);
    assertThat(hit(1)).isTrue();
    pool.release(held);
    assertThat(pool.used()).isZero();
  }

  /** Whatever is asked for in whatever order: a hit has the picture's bytes, nothing is lost. */
  @Property(tries = 200)
  void aHitIsAlwaysTheRightPicture(
      @ForAll @Size(min = 1, max = 60) List<@IntRange(min = 0, max = 9) Integer> pictures,
      @ForAll @IntRange(min = 1, max = 5) int holdEvery) {
    BlockPool small = new BlockPool("media", 16, 6);
    MediaCache found = new MediaCache(small);
    List<Integer> held = new ArrayList<>();
    Map<Integer, Integer> misses = new HashMap<>();
    for (int i = 0; i < pictures.size(); i++) {
      int picture = pictures.get(i);
      OptionalInt hit = found.retain(key(picture));
      int block;
      if (hit.isPresent()) {
        block = hit.getAsInt();
        assertThat(small.block(block).getInt(0)).isEqualTo(picture);
        assertThat(misses).containsKey(picture);
      } else {
        block = small.tryAllocate(1).orElseThrow()[0];
        small.block(block).putInt(0, picture);
        found.add(key(picture), MediaKeys.tag(item(picture), 0), block, 1 + picture);
        misses.merge(picture, 1, Integer::sum);
      }
      held.add(block);
      if (held.size() > 4 || i % holdEvery == 0) {
        small.release(held.removeFirst());
      }
      small.checkIntegrity();
      assertThat(found.size()).isLessThanOrEqualTo(6);
    }
    held.forEach(small::release);
    assertThat(small.used()).isZero();
    assertThat(small.cached()).isEqualTo(found.size());
  }
}
