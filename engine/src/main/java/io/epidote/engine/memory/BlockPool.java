package io.epidote.engine.memory;

import static java.util.Objects.requireNonNull;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.IntConsumer;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Blocks of one size, with a reference count each. A block is <em>used</em> while somebody holds a
 * reference, <em>free</em> afterwards, or <em>cached</em> when it was marked by {@link #keep}: its
 * bytes stay until the block is needed, the one that was let go of longest ago first, unless a
 * cache knows better.
 *
 * <p>A block's bytes are divided over planes: a KV pool has a plane per layer, in which attention
 * finds a layer's blocks by address. Neither a plane nor the pool has a bound but the machine's
 * memory, of which it takes what its blocks have been used for.
 *
 * <p>A block may have several holders, and the cache may find it. Whoever is about to write into
 * one asks {@link #tryOwn} first, which copies it if need be.
 *
 * <p>The accounts ({@link #tryAllocate}, {@link #retain}, {@link #release}, the counters) belong to
 * one thread, the node's engine thread. The bytes may be read and written by others for as long as
 * someone holds a reference for them: whoever hands a block to another thread must not release it
 * before that thread is done.
 */
public final class BlockPool {
  /** A cache line: rows of a gathered block then start on one. */
  private static final int PLANE_ALIGNMENT = 64;

  private final String name;
  private final int planeBytes;
  private final MemorySegment[] planes;
  private final int[] references;
  private final int[] freeStack;
  private int free;

  /** Blocks that keep their bytes when nobody holds them. */
  private final boolean[] kept;

  /** The cached blocks as a ring through {@link #total}, which is before the oldest. */
  private final int[] older;

  private final int[] newer;
  private int cached;
  private IntConsumer onEvict = id -> {};

  /** What of a cached block is lost with it; without it, all are worth the same. */
  private @Nullable IntToDoubleFunction worth;

  /**
   * A pool whose blocks are contiguous.
   *
   * @param name for messages, for example {@code media}
   * @param blockBytes bytes in a block
   * @param blocks how many blocks to hold
   */
  public BlockPool(String name, int blockBytes, int blocks) {
    this(name, 1, blockBytes, blocks);
  }

  /**
   * A pool whose blocks are divided over planes.
   *
   * @param planeBytes bytes of a block in each plane
   */
  public BlockPool(String name, int planes, int planeBytes, int blocks) {
    this.name = requireNonNull(name, "name is null");
    if (planes <= 0 || planeBytes <= 0 || blocks <= 0) {
      throw new IllegalArgumentException(
          "A %s pool of %d blocks of %d times %d bytes cannot be made: it must hold at least one block"
              .formatted(name, blocks, planes, planeBytes));
    }
    this.planeBytes = planeBytes;
    this.planes = new MemorySegment[planes];
    NativePages pages = new NativePages();
    for (int plane = 0; plane < planes; plane++) {
      this.planes[plane] = pages.allocate((long) planeBytes * blocks, PLANE_ALIGNMENT);
    }
    this.references = new int[blocks];
    this.freeStack = new int[blocks];
    // Low ids first, so that a lightly used pool touches few pages.
    for (int i = 0; i < blocks; i++) {
      freeStack[i] = blocks - 1 - i;
    }
    this.free = blocks;
    this.kept = new boolean[blocks];
    this.older = new int[blocks + 1];
    this.newer = new int[blocks + 1];
    older[blocks] = blocks;
    newer[blocks] = blocks;
  }

  /** Who is told of a cached block whose bytes are about to be lost. */
  void onEvict(IntConsumer listener) {
    this.onEvict = requireNonNull(listener, "listener is null");
  }

  /**
   * Lets the cached block of least worth go first; among equals, the one that was let go of longest
   * ago. Each eviction looks at every cached block.
   */
  void evictBy(IntToDoubleFunction worthOfBlock) {
    this.worth = requireNonNull(worthOfBlock, "worthOfBlock is null");
  }

  public String name() {
    return name;
  }

  /** Bytes of a block, all planes. */
  public int blockBytes() {
    return planeBytes * planes.length;
  }

  /** Planes that a block is divided over. */
  public int planes() {
    return planes.length;
  }

  /** Bytes of the whole pool. */
  public long bytes() {
    return (long) blockBytes() * total();
  }

  public int total() {
    return references.length;
  }

  /** Blocks that hold nothing. */
  public int free() {
    return free;
  }

  /** Blocks that nobody holds but whose bytes may be of use again. */
  public int cached() {
    return cached;
  }

  /** Blocks that can be had: free ones and cached ones. */
  public int available() {
    return free + cached;
  }

  /** Blocks that somebody holds. */
  public int used() {
    return references.length - free - cached;
  }

  /**
   * Takes {@code count} blocks with one reference each, or none of them when too few are available.
   * Cached blocks are taken when no free one is left.
   */
  public Optional<int[]> tryAllocate(int count) {
    if (count > available()) {
      return Optional.empty();
    }
    int[] ids = new int[count];
    for (int i = 0; i < count; i++) {
      ids[i] = free > 0 ? freeStack[--free] : evict();
      references[ids[i]] = 1;
    }
    return Optional.of(ids);
  }

  private int evict() {
    int id = leastWorth();
    unlink(id);
    kept[id] = false;
    onEvict.accept(id);
    return id;
  }

  private int leastWorth() {
    int least = newer[total()];
    if (worth != null) {
      double leastWorth = worth.applyAsDouble(least);
      for (int id = newer[least]; id != total(); id = newer[id]) {
        double other = worth.applyAsDouble(id);
        if (other < leastWorth) {
          least = id;
          leastWorth = other;
        }
      }
    }
    return least;
  }

  private void unlink(int id) {
    newer[older[id]] = newer[id];
    older[newer[id]] = older[id];
    cached--;
  }

  private void linkAsNewest(int id) {
    int newest = older[total()];
    older[id] = newest;
    newer[id] = total();
    newer[newest] = id;
    older[total()] = id;
    cached++;
  }

  /** Marks a block that somebody holds: it becomes cached instead of free. */
  void keep(int id) {
    checkHeld(id);
    kept[id] = true;
  }

  /** Adds a reference to each block; a cached one is used again. */
  public void retain(int... ids) {
    for (int id : ids) {
      if (references[id] == 0 && kept[id]) {
        unlink(id);
      } else {
        checkHeld(id);
      }
      references[id]++;
    }
  }

  private void checkHeld(int id) {
    if (references[id] <= 0) {
      throw new IllegalStateException(
          "%s block %d is free and cannot be shared".formatted(name, id));
    }
  }

  /**
   * A block that the caller alone holds and that no cache finds, with the bytes of one that it
   * holds: that block itself when it is so, else a copy. The caller's reference goes with it.
   *
   * @return empty when a copy is needed but no block is available; nothing is changed then
   */
  public OptionalInt tryOwn(int id) {
    checkHeld(id);
    if (references[id] == 1 && !kept[id]) {
      return OptionalInt.of(id);
    }
    Optional<int[]> copy = tryAllocate(1);
    if (copy.isEmpty()) {
      return OptionalInt.empty();
    }
    for (int plane = 0; plane < planes.length; plane++) {
      slice(copy.get()[0], plane).copyFrom(slice(id, plane));
    }
    release(id);
    return OptionalInt.of(copy.get()[0]);
  }

  /**
   * Drops a reference of each block, the last block's first: of a sequence's cached blocks the last
   * is lost first, because it is of no use without those before it.
   */
  public void release(int... ids) {
    for (int i = ids.length - 1; i >= 0; i--) {
      int id = ids[i];
      if (references[id] <= 0) {
        throw new IllegalStateException("%s block %d was released twice".formatted(name, id));
      }
      if (--references[id] > 0) {
        continue;
      }
      if (kept[id]) {
        linkAsNewest(id);
      } else {
        freeStack[free++] = id;
      }
    }
  }

  /** The bytes of a contiguous block, in native order; a view, not a copy. */
  public ByteBuffer block(int id) {
    if (planes.length != 1) {
      throw new IllegalStateException(
          "A %s block is divided over %d planes".formatted(name, planes.length));
    }
    return part(id, 0);
  }

  /** One plane's bytes of a block, in native order; a view, not a copy. */
  public ByteBuffer part(int id, int plane) {
    return slice(id, plane).asByteBuffer().order(ByteOrder.nativeOrder());
  }

  private MemorySegment slice(int id, int plane) {
    return planes[plane].asSlice((long) id * planeBytes, planeBytes);
  }

  /** The bytes of a block in the order in which they travel, plane after plane; views. */
  public List<ByteBuffer> parts(int id) {
    return IntStream.range(0, planes.length).mapToObj(plane -> part(id, plane)).toList();
  }

  /** The bytes of all blocks in a plane, block 0 first; the pool's own. */
  public MemorySegment plane(int plane) {
    return planes[plane];
  }

  /**
   * Gives the memory of all blocks back to the system; the pool must not be used afterwards. No
   * pull may be reading or writing a block. Harmless where the system cannot do that: memory is
   * freed with the pool then.
   */
  public void discard() {
    MappedPages pages = new MappedPages();
    for (MemorySegment plane : planes) {
      if (plane.byteSize() >= NativePages.LARGE) {
        pages.discard(plane);
      }
    }
  }

  /**
   * Checks that every block is either free, cached or referenced, and none of them twice.
   *
   * @throws IllegalStateException naming the first discrepancy
   */
  public void checkIntegrity() {
    boolean[] seen = new boolean[references.length];
    for (int i = 0; i < free; i++) {
      int id = freeStack[i];
      if (seen[id] || references[id] != 0) {
        throw new IllegalStateException(
            "%s block %d is on the free list with %d references"
                .formatted(name, id, references[id]));
      }
      seen[id] = true;
    }
    int linked = 0;
    for (int id = newer[total()]; id != total(); id = newer[id]) {
      if (seen[id] || references[id] != 0 || !kept[id]) {
        throw new IllegalStateException(
            "%s block %d is cached with %d references".formatted(name, id, references[id]));
      }
      seen[id] = true;
      linked++;
    }
    if (linked != cached) {
      throw new IllegalStateException(
          "%d %s blocks are cached, but %d are counted".formatted(linked, name, cached));
    }
    for (int id = 0; id < references.length; id++) {
      if (!seen[id] && references[id] <= 0) {
        throw new IllegalStateException(
            "%s block %d is lost: neither free nor cached nor referenced".formatted(name, id));
      }
    }
  }
}
