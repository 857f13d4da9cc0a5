package io.epidote.engine.memory;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

/** Sequences that share blocks never see what another one writes. */
class CopyOnWriteTest {
  private static final int BLOCKS = 24;
  private static final int PLANES = 3;

  /** Tokens in a block, 8 bytes each in every plane. */
  private static final int TOKENS = 4;

  private final BlockPool pool = new BlockPool("kv", PLANES, TOKENS * Long.BYTES, BLOCKS);
  private final PrefixCache cache = new PrefixCache(pool);
  private final KeyChain chain = new KeyChain(TOKENS, "", "", "");

  /** What a sequence should hold, and where. */
  private static final class Sequence {
    int[] blocks = {};
    final List<Integer> tokens = new ArrayList<>();
  }

  @Property(tries = 300)
  void forksAndWritesInAnyOrder(
      @ForAll @Size(max = 150) List<@IntRange(min = 0, max = 9999) Integer> actions) {
    CopyOnWriteTest fresh = new CopyOnWriteTest();
    fresh.run(actions);
  }

  private void run(List<Integer> actions) {
    List<Sequence> sequences = new ArrayList<>(List.of(new Sequence()));
    for (int action : actions) {
      int choice = action / 8;
      Sequence sequence = sequences.get(choice % sequences.size());
      switch (action % 8) {
        case 0 -> sequences.add(fork(sequence));
        case 1 -> cache.add(keys(sequence), sequence.blocks);
        case 2 -> {
          if (sequences.size() > 1) {
            sequences.remove(sequence);
            pool.release(sequence.blocks);
          }
        }
        case 3 -> sequences.add(fromCache(sequence));
        case 4 -> rewrite(sequence, choice);
        default -> append(sequence, choice);
      }
      pool.checkIntegrity();
      sequences.forEach(this::check);
    }
    sequences.forEach(sequence -> pool.release(sequence.blocks));
    assertThat(pool.used()).isZero();
  }

  private Sequence fork(Sequence from) {
    Sequence fork = new Sequence();
    fork.blocks = from.blocks.clone();
    fork.tokens.addAll(from.tokens);
    pool.retain(fork.blocks);
    return fork;
  }

  private List<BlockKey> keys(Sequence sequence) {
    return chain.keys(sequence.tokens.stream().mapToInt(Integer::intValue).toArray(), List.of());
  }

  private Sequence fromCache(Sequence like) {
    Sequence found = new Sequence();
    found.blocks = cache.retain(keys(like));
    found.tokens.addAll(like.tokens.subList(0, found.blocks.length * TOKENS));
    return found;
  }

  private void append(Sequence sequence, int token) {
    if (sequence.tokens.size() == sequence.blocks.length * TOKENS) {
      pool.tryAllocate(1)
          .ifPresent(block -> {
            sequence.blocks = Arrays.copyOf(sequence.blocks, sequence.blocks.length + 1);
            sequence.blocks[sequence.blocks.length - 1] = block[0];
          });
    }
    if (sequence.tokens.size() < sequence.blocks.length * TOKENS
        && write(sequence, sequence.tokens.size(), token)) {
      sequence.tokens.add(token);
    }
  }

  /** As one would to take tokens back and go on differently, full blocks included. */
  private void rewrite(Sequence sequence, int token) {
    if (!sequence.tokens.isEmpty()) {
      int position = token % sequence.tokens.size();
      if (write(sequence, position, token)) {
        sequence.tokens.set(position, token);
      }
    }
  }

  private boolean write(Sequence sequence, int position, int token) {
    int place = position / TOKENS;
    boolean roomForACopy = pool.available() > 0;
    OptionalInt own = pool.tryOwn(sequence.blocks[place]);
    if (own.isEmpty()) {
      assertThat(roomForACopy).isFalse();
      return false;
    }
    sequence.blocks[place] = own.getAsInt();
    for (int plane = 0; plane < PLANES; plane++) {
      pool.part(own.getAsInt(), plane)
          .putLong(position % TOKENS * Long.BYTES, (long) token * PLANES + plane);
    }
    return true;
  }

  private void check(Sequence sequence) {
    for (int position = 0; position < sequence.tokens.size(); position++) {
      for (int plane = 0; plane < PLANES; plane++) {
        assertThat(
                pool.part(sequence.blocks[position / TOKENS], plane)
                    .getLong(position % TOKENS * Long.BYTES))
            .isEqualTo((long) sequence.tokens.get(position) * PLANES + plane);
      }
    }
  }

  @Example
  void aBlockOfOnesOwnIsNotCopied() {
    int block = pool.tryAllocate(1).orElseThrow()[0];
    assertThat(pool.tryOwn(block)).hasValue(block);
    pool.retain(block);
    int copy = pool.tryOwn(block).orElseThrow();
    assertThat(copy).isNotEqualTo(block);
    assertThat(pool.tryOwn(block)).hasValue(block);
    assertThat(pool.used()).isEqualTo(2);
  }
}
