package io.epidote.router.cluster;

import java.util.Arrays;

/**
 * What a node probably has in its prefix cache: the prompts that this router sent there of late. A
 * hint and no more: blocks may have been evicted, and other routers send prompts, too. It is
 * forgotten when the node leaves, because it belongs to the node's registration. Thread-safe.
 *
 * <p>The least recently sent names go first. All is in arrays of numbers: a name that is kept for a
 * minute as an object is copied by every collection of young ones, while all requests wait.
 */
final class PrefixHints {
  /** A block's name takes 24 bytes here. */
  private static final int MOST = 1 << 16;

  private static final int NONE = -1;

  private final int most;
  private final long[] names;

  /** Rings of slots: behind the last one, which stands for both ends, comes the oldest. */
  private final int[] newer;

  private final int[] older;
  private final int ends;

  /** Slots by their names' hashes, with linear probing; at least half of it is free. */
  private final int[] table;

  private int size;

  /**
   * @param kvBlocks blocks of the node's pool; more than that it cannot have
   */
  PrefixHints(int kvBlocks) {
    this.most = Math.clamp(kvBlocks, 0, MOST);
    this.names = new long[most];
    this.newer = new int[most + 1];
    this.older = new int[most + 1];
    this.ends = most;
    newer[ends] = ends;
    older[ends] = ends;
    this.table = new int[Integer.highestOneBit(Math.max(1, most)) * 4];
    Arrays.fill(table, NONE);
  }

  /** How many of the prompt's first blocks the node probably has. */
  synchronized int match(PromptPrefix prompt) {
    int matched = 0;
    for (long name : prompt.names()) {
      if (table[find(name)] == NONE) {
        break;
      }
      matched++;
    }
    return matched;
  }

  /** The prompt goes there. */
  synchronized void sent(PromptPrefix prompt) {
    if (most > 0) {
      // The last block first: of a prompt that does not fit, the beginning stays.
      prompt.names().reversed().forEach(this::put);
    }
  }

  private void put(long name) {
    int slot = table[find(name)];
    if (slot != NONE) {
      unlink(slot);
    } else {
      slot = size < most ? size++ : forgetOldest();
      names[slot] = name;
      table[find(name)] = slot;
    }
    int newest = older[ends];
    newer[newest] = slot;
    older[slot] = newest;
    newer[slot] = ends;
    older[ends] = slot;
  }

  private int forgetOldest() {
    int slot = newer[ends];
    unlink(slot);
    int hole = find(names[slot]);
    // Those behind that would not be found any more move up (Knuth, volume 3, 6.4, algorithm R).
    for (int at = next(hole); table[at] != NONE; at = next(at)) {
      int home = home(names[table[at]]);
      if (distance(home, at) >= distance(hole, at)) {
        table[hole] = table[at];
        hole = at;
      }
    }
    table[hole] = NONE;
    return slot;
  }

  private void unlink(int slot) {
    newer[older[slot]] = newer[slot];
    older[newer[slot]] = older[slot];
  }

  /** Where in the table a name is, or would be. */
  private int find(long name) {
    int at = home(name);
    while (table[at] != NONE && names[table[at]] != name) {
      at = next(at);
    }
    return at;
  }

  private int home(long name) {
    return Long.hashCode(name) & (table.length - 1);
  }

  private int next(int at) {
    return (at + 1) & (table.length - 1);
  }

  private int distance(int from, int to) {
    return (to - from) & (table.length - 1);
  }
}
