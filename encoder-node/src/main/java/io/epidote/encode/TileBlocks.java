package io.epidote.encode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.memory.BlockKey;
import io.epidote.engine.memory.BlockPool;
import io.epidote.engine.memory.MediaCache;
import io.epidote.node.engine.BlockQueue;
import io.epidote.node.engine.Turns;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Where the media tokens of tiles are: in a cached block, in one that is being encoded into for
 * somebody else, or in a new one. Without a cache, always in a new one. Belongs to the engine
 * thread.
 */
final class TileBlocks {
  private final BlockQueue line;
  private final Optional<MediaCache> cache;

  /** Works that another request can wait for, too. */
  private final Map<BlockKey, TileWork> underWay = new HashMap<>();

  private long hits;
  private long misses;

  TileBlocks(BlockQueue line, Optional<MediaCache> cache) {
    this.line = requireNonNull(line, "line is null");
    this.cache = requireNonNull(cache, "cache is null");
  }

  BlockPool pool() {
    return line.pool();
  }

  Optional<MediaCache> cache() {
    return cache;
  }

  long hits() {
    return hits;
  }

  long misses() {
    return misses;
  }

  /** Different tiles that a request wants: the blocks that it needs at the most. */
  int needs(EncodeCall call) {
    return cache.isEmpty()
        ? call.tiles.size()
        : (int) call.tiles.stream().map(EncodeCall.Tile::key).distinct().count();
  }

  /** Gets in line; the request holds nothing of the pool until it is served as a whole. */
  void enter(EncodeCall call, Turns turns) {
    call.ticket = line.enter(needs(call), turns, call);
  }

  /**
   * Gives a request all its blocks when it is its turn and they are to be had: those that hold what
   * it wants, and new ones.
   *
   * @return what has to be encoded now, in the order of the request; empty when it has to wait
   */
  Optional<List<TileWork>> take(EncodeCall call) {
    Map<BlockKey, TileWork> made = new LinkedHashMap<>();
    int[] places = new int[call.tiles.size()];
    TileWork[] works = new TileWork[places.length];
    Optional<int[]> taken = requireNonNull(call.ticket).take(() -> fill(call, places, works, made));
    if (taken.isEmpty()) {
      return Optional.empty();
    }
    call.blocks = places;
    call.works = works;
    for (int place = 0; place < places.length; place++) {
      if (works[place] != null) {
        works[place].waiters.add(new TileWork.Waiter(call, place));
      }
    }
    hits += places.length - made.size();
    misses += made.size();
    if (cache.isPresent()) {
      underWay.putAll(made);
    }
    return Optional.of(List.copyOf(made.values()));
  }

  private Optional<int[]> fill(
      EncodeCall call, int[] places, TileWork[] works, Map<BlockKey, TileWork> made) {
    Arrays.fill(places, -1);
    // What is there is held first, so that room for the rest is not made of it.
    for (int place = 0; place < places.length; place++) {
      BlockKey key = call.tiles.get(place).key();
      works[place] = underWay.get(key);
      if (works[place] != null) {
        places[place] = works[place].block;
        pool().retain(works[place].block);
      } else {
        OptionalInt cached = cache.map(known -> known.retain(key)).orElse(OptionalInt.empty());
        places[place] = cached.orElse(-1);
      }
    }
    int[] open = openPlaces(call, places);
    Optional<int[]> blocks = pool().tryAllocate(open.length);
    if (blocks.isEmpty()) {
      pool().release(Arrays.stream(places).filter(block -> block >= 0).toArray());
      return Optional.empty();
    }
    for (int i = 0; i < open.length; i++) {
      EncodeCall.Tile tile = call.tiles.get(open[i]);
      TileWork work = new TileWork(tile, blocks.get()[i]);
      made.put(cache.isPresent() ? tile.key() : unique(open[i]), work);
      places[open[i]] = work.block;
      works[open[i]] = work;
    }
    // The same tile again in the same request.
    for (int place = 0; place < places.length; place++) {
      if (places[place] < 0) {
        works[place] = requireNonNull(made.get(call.tiles.get(place).key()));
        places[place] = works[place].block;
        pool().retain(places[place]);
      }
    }
    return Optional.of(places);
  }

  /** Places without a block, of a tile that is wanted twice the first. */
  private int[] openPlaces(EncodeCall call, int[] places) {
    Map<BlockKey, Integer> first = new LinkedHashMap<>();
    for (int place = 0; place < places.length; place++) {
      if (places[place] < 0) {
        first.putIfAbsent(cache.isPresent() ? call.tiles.get(place).key() : unique(place), place);
      }
    }
    return first.values().stream().mapToInt(Integer::intValue).toArray();
  }

  private static BlockKey unique(int place) {
    return new BlockKey(0, 0, 0, place);
  }

  /** The work's tokens are in its block: they can be found from now on. */
  void encoded(TileWork work, double costMs) {
    underWay.remove(work.key(), work);
    cache.ifPresent(known -> known.add(work.key(), work.tile.tag(), work.block, costMs));
  }

  /** Nobody waits for the work, or it failed: it cannot be joined any more. */
  void forget(TileWork work) {
    underWay.remove(work.key(), work);
  }
}
