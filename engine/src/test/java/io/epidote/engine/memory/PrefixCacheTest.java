package io.epidote.engine.memory;

import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

class PrefixCacheTest {
  private static final int BLOCKS = 10;
  private BlockPool pool = new BlockPool("kv", 16, BLOCKS);
  private PrefixCache cache = new PrefixCache(pool);

  /** A chain of {@code length} blocks of prompt {@code prompt}. */
  private static List<BlockKey> chain(int prompt, int length) {
    int[] tokens = new int[length];
    Arrays.fill(tokens, prompt);
    return new KeyChain(1, "", "", "").keys(tokens, List.of());
  }

  /** Takes a prompt's blocks as prefill does, and writes what they stand for into the new ones. */
  private Optional<int[]> take(List<BlockKey> chain) {
    int[] found = cache.retain(chain);
    Optional<int[]> rest = pool.tryAllocate(chain.size() - found.length);
    if (rest.isEmpty()) {
      pool.release(found);
      return Optional.empty();
    }
    int[] blocks = Arrays.copyOf(found, chain.size());
    for (int i = found.length; i < blocks.length; i++) {
      blocks[i] = rest.get()[i - found.length];
      pool.block(blocks[i]).putLong(0, chain.get(i).a());
    }
    return Optional.of(blocks);
  }

  /** In any order of requests, a found block has the bytes that its key stands for. */
  @Property(tries = 500)
  void whatIsFoundIsWhatWasComputed(
      @ForAll @Size(max = 120) List<@IntRange(min = 0, max = 9999) Integer> actions) {
    // All tries of a property run on one instance.
    pool = new BlockPool("kv", 16, BLOCKS);
    cache = new PrefixCache(pool);
    Map<int[], List<BlockKey>> held = new HashMap<>();
    List<int[]> order = new ArrayList<>();
    for (int action : actions) {
      int choice = action / 2;
      if (action % 2 == 0) {
        List<BlockKey> chain = chain(choice % 4, 1 + choice / 4 % 6);
        int available = pool.available();
        Optional<int[]> blocks = take(chain);
        assertThat(blocks.isPresent() || available < chain.size()).isTrue();
        blocks.ifPresent(ids -> {
          for (int i = 0; i < ids.length; i++) {
            assertThat(pool.block(ids[i]).getLong(0)).isEqualTo(chain.get(i).a());
          }
          held.put(ids, chain);
          order.add(ids);
        });
      } else if (!order.isEmpty()) {
        int[] ids = order.remove(choice % order.size());
        cache.add(requireNonNull(held.remove(ids)), ids);
        pool.release(ids);
      }
      pool.checkIntegrity();
      long distinct = order.stream().flatMapToInt(Arrays::stream).distinct().count();
      assertThat(pool.used()).isEqualTo((int) distinct);
      assertThat(pool.used() + pool.cached() + pool.free()).isEqualTo(BLOCKS);
      assertThat(cache.size()).isGreaterThanOrEqualTo(pool.cached());
    }
    order.forEach(pool::release);
    assertThat(pool.used()).isZero();
    // Everything can still be had.
    assertThat(pool.tryAllocate(BLOCKS)).isPresent();
    assertThat(cache.size()).isZero();
  }

  private void prefill(int prompt, int length) {
    List<BlockKey> chain = chain(prompt, length);
    int[] blocks = take(chain).orElseThrow();
    cache.add(chain, blocks);
    pool.release(blocks);
  }

  private int found(int prompt, int length) {
    int[] blocks = cache.retain(chain(prompt, length));
    pool.release(blocks);
    return blocks.length;
  }

  @Example
  void theEndOfTheLongestUnusedPromptIsLostFirst() {
    prefill(1, 4);
    prefill(2, 4);
    assertThat(found(1, 4)).isEqualTo(4);
    // 2 of 10 are free; 5 more cost prompt 2 three blocks.
    pool.release(pool.tryAllocate(5).orElseThrow());
    assertThat(found(2, 4)).isEqualTo(1);
    assertThat(found(1, 4)).isEqualTo(4);
  }

  @Example
  void aBlockInUseIsNeverLost() {
    prefill(1, 4);
    int[] inUse = cache.retain(chain(1, 2));
    int[] others = pool.tryAllocate(8).orElseThrow();
    assertThat(pool.tryAllocate(1)).isEmpty();
    assertThat(found(1, 4)).isEqualTo(2);
    pool.release(others);
    pool.release(inUse);
    assertThat(found(1, 2)).isEqualTo(2);
  }

  @Example
  void twoThatComputeTheSameKeepOne() {
    List<BlockKey> chain = chain(1, 3);
    int[] first = take(chain).orElseThrow();
    int[] second = take(chain).orElseThrow();
    cache.add(chain, first);
    cache.add(chain, second);
    pool.release(second);
    assertThat(pool.cached()).isZero();
    pool.release(first);
    assertThat(pool.cached()).isEqualTo(3);
    assertThat(cache.retain(chain)).isEqualTo(first);
  }
}
