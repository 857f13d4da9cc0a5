package io.epidote.engine.memory;

import static java.util.Objects.requireNonNull;

import java.util.LinkedHashMap;
import java.util.OptionalInt;
import java.util.SequencedCollection;
import org.jspecify.annotations.Nullable;

/**
 * Finds the media tokens of tiles that were encoded before. They never change, so any number of
 * requests may hold a block; what nobody holds stays in the pool until it needs the room.
 *
 * <p>Which block goes first is GreedyDual (Young, 1994): a block's worth is its cost plus what the
 * last evicted one was worth. So what is dear to make stays longer, but nothing for ever that is
 * not asked for; where all cost the same it is LRU. Belongs to the engine thread.
 */
public final class MediaCache {
  private record Entry(BlockKey key, long tag, int block, double cost) {}

  private final BlockPool pool;

  /** The latest used last. */
  private final LinkedHashMap<BlockKey, Entry> entries = new LinkedHashMap<>(16, 0.75f, true);

  private final @Nullable Entry[] entryOf;
  private final double[] worth;
  private double floor;
  private long evictions;
  private long version;

  /**
   * @param pool of contiguous blocks; has at most one cache
   */
  public MediaCache(BlockPool pool) {
    this.pool = requireNonNull(pool, "pool is null");
    this.entryOf = new Entry[pool.total()];
    this.worth = new double[pool.total()];
    pool.onEvict(this::forget);
    pool.evictBy(block -> worth[block]);
  }

  /** The block that holds this, with a reference that the caller drops. */
  public OptionalInt retain(BlockKey key) {
    Entry entry = entries.get(key);
    if (entry == null) {
      return OptionalInt.empty();
    }
    pool.retain(entry.block());
    worth[entry.block()] = floor + entry.cost();
    return OptionalInt.of(entry.block());
  }

  /**
   * Makes a block known that the caller holds; one that has the same key is kept instead.
   *
   * @param tag see {@link MediaKeys#tag}
   * @param cost of making it again, in any unit that all costs have
   */
  public void add(BlockKey key, long tag, int block, double cost) {
    Entry entry = new Entry(key, tag, block, cost);
    if (entryOf[block] == null && entries.putIfAbsent(key, entry) == null) {
      entryOf[block] = entry;
      worth[block] = floor + cost;
      pool.keep(block);
      version++;
    }
  }

  private void forget(int block) {
    Entry entry = requireNonNull(entryOf[block]);
    entryOf[block] = null;
    entries.remove(entry.key());
    floor = worth[block];
    evictions++;
    version++;
  }

  /** Tiles that can be found. */
  public int size() {
    return entries.size();
  }

  /** Blocks that were given up for others. */
  public long evictions() {
    return evictions;
  }

  /** Changes whenever other tiles can be found. */
  public long version() {
    return version;
  }

  /** Tags of the latest used tiles, the latest last. */
  public long[] tags(int atMost) {
    SequencedCollection<Entry> all = entries.sequencedValues();
    return all.stream().skip(Math.max(0, all.size() - atMost)).mapToLong(Entry::tag).toArray();
  }
}
