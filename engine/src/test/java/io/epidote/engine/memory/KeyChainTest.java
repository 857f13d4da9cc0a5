package io.epidote.engine.memory;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.engine.memory.KeyChain.MediaTokens;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

class KeyChainTest {
  private static final int BLOCK = 4;
  private static final byte[] CAT = {1};
  private static final byte[] DOG = {2};

  private static List<BlockKey> keys(int[] tokens, MediaTokens... media) {
    return new KeyChain(BLOCK, "", "w", "").keys(tokens, List.of(media));
  }

  /** Two chains are equal up to the first block whose tokens differ, and nowhere after it. */
  @Property
  void aKeyStandsForAllTokensUpToItsEnd(
      @ForAll @Size(min = 1, max = 40) int[] tokens, @ForAll @IntRange(max = 39) int change) {
    int changed = change % tokens.length;
    int[] other = tokens.clone();
    other[changed]++;
    List<BlockKey> a = keys(tokens);
    List<BlockKey> b = keys(other);
    assertThat(a).hasSize(tokens.length / BLOCK).doesNotHaveDuplicates().isEqualTo(keys(tokens));
    for (int block = 0; block < a.size(); block++) {
      assertThat(a.get(block).equals(b.get(block))).isEqualTo(block < changed / BLOCK);
    }
  }

  @Property
  void whatFollowsChangesNothingBefore(@ForAll @Size(max = 40) int[] tokens, @ForAll int next) {
    int[] longer = Arrays.copyOf(tokens, tokens.length + 1);
    longer[tokens.length] = next;
    List<BlockKey> a = keys(tokens);
    assertThat(keys(longer).subList(0, a.size())).isEqualTo(a);
  }

  @Property
  void aChainThatGrowsTileByTileIsTheWholeChain(
      @ForAll @Size(min = 30, max = 40) int[] tokens,
      @ForAll @IntRange(max = 12) int first,
      @ForAll @IntRange(min = 13, max = 25) int second) {
    MediaTokens cat = new MediaTokens(first, 1, CAT);
    MediaTokens dog = new MediaTokens(second, 4, DOG);
    KeyChain chain = new KeyChain(BLOCK, "", "w", "");
    List<BlockKey> grown = new ArrayList<>();
    chain.extend(grown, tokens, first, List.of());
    assertThat(grown).hasSize(first / BLOCK);
    chain.extend(grown, tokens, second, List.of(cat));
    chain.extend(grown, tokens, second, List.of(cat));
    chain.extend(grown, tokens, tokens.length, List.of(cat, dog));
    assertThat(grown).isEqualTo(chain.keys(tokens, List.of(cat, dog)));
  }

  /** Media tokens are the same placeholder id whatever they show. */
  @Property
  void otherMediaAtTheSameTokensAreOtherKeys(
      @ForAll @IntRange(max = 20) int position, @ForAll @IntRange(min = 1, max = 12) int count) {
    int[] tokens = new int[32];
    List<BlockKey> cat = keys(tokens, new MediaTokens(position, count, CAT));
    List<BlockKey> dog = keys(tokens, new MediaTokens(position, count, DOG));
    List<BlockKey> none = keys(tokens);
    for (int block = 0; block < cat.size(); block++) {
      boolean before = block < position / BLOCK;
      assertThat(cat.get(block).equals(dog.get(block))).isEqualTo(before);
      assertThat(cat.get(block).equals(none.get(block))).isEqualTo(before);
    }
  }

  @Property
  void mediaAtAnotherPlaceOrOfAnotherLengthAreOtherKeys(
      @ForAll @IntRange(max = 10) int position,
      @ForAll @IntRange(min = 1, max = 6) int count,
      @ForAll @IntRange(max = 10) int otherPosition,
      @ForAll @IntRange(min = 1, max = 6) int otherCount) {
    int[] tokens = new int[16];
    BlockKey last = keys(tokens, new MediaTokens(position, count, CAT)).getLast();
    BlockKey other = keys(tokens, new MediaTokens(otherPosition, otherCount, CAT)).getLast();
    assertThat(last.equals(other)).isEqualTo(position == otherPosition && count == otherCount);
  }

  @Example
  void theOrderOfMediaCounts() {
    int[] tokens = new int[8];
    assertThat(keys(tokens, new MediaTokens(1, 2, CAT), new MediaTokens(3, 2, DOG)).getFirst())
        .isNotEqualTo(
            keys(tokens, new MediaTokens(1, 2, DOG), new MediaTokens(3, 2, CAT)).getFirst());
  }

  @Example
  void adapterWeightsAndSaltAreInEveryKey() {
    List<BlockKey> firsts =
        Stream.of(
                new KeyChain(BLOCK, "", "", ""),
                new KeyChain(BLOCK, "a", "", ""),
                new KeyChain(BLOCK, "", "a", ""),
                new KeyChain(BLOCK, "", "", "a"),
                new KeyChain(BLOCK, "a", "bc", ""),
                new KeyChain(BLOCK, "ab", "c", ""))
            .map(chain -> chain.keys(new int[BLOCK], List.of()).getFirst())
            .toList();
    assertThat(firsts).doesNotHaveDuplicates();
  }

  @Example
  void theDigestIsOfTheRowsThatAreGiven() {
    ByteBuffer rows = ByteBuffer.allocateDirect(16).putInt(0, 5);
    byte[] digest = KeyChain.digest(rows.slice(0, 8));
    assertThat(rows.position()).isZero();
    rows.putInt(8, 1);
    assertThat(KeyChain.digest(rows.slice(0, 8))).isEqualTo(digest);
    rows.putInt(4, 1);
    assertThat(KeyChain.digest(rows.slice(0, 8))).isNotEqualTo(digest);
  }
}
