package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;

import io.epidote.engine.error.EpidoteException.Internal;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Optional;

/**
 * What the allocator of one session has given out, as it counts itself: copies of weights in the
 * kernels' order and what a step needs between its operators. Must be closed before the session.
 */
public final class SessionAllocator implements AutoCloseable {
  /** OrtArenaAllocator and OrtMemTypeDefault. */
  private static final int ARENA = 1;

  private static final int DEFAULT = 0;

  private final OrtApi api;
  private final MemorySegment allocator;

  /**
   * @param session the address of an OrtSession
   */
  SessionAllocator(OrtApi api, long session) {
    this.api = api;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment result = arena.allocate(ADDRESS);
      MemorySegment memory = api.createCpuMemoryInfo(ARENA, DEFAULT, result);
      try {
        this.allocator = api.createAllocator(MemorySegment.ofAddress(session), memory, result);
      } finally {
        api.releaseMemoryInfo(memory);
      }
    } catch (Throwable e) {
      throw new Internal("A session's allocator cannot be read: " + e.getMessage(), e);
    }
  }

  /** Bytes in use now. */
  public long inUse() {
    return stat("InUse");
  }

  /** The most bytes that were in use at a time; the allocator gives nothing back to the system. */
  public long mostInUse() {
    return stat("MaxInUse");
  }

  private long stat(String key) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment result = arena.allocate(ADDRESS);
      MemorySegment stats = api.allocatorStats(allocator, result);
      try {
        MemorySegment value = api.keyValue(stats, arena.allocateFrom(key));
        return Optional.of(value)
            .filter(text -> text.address() != 0)
            .map(text -> Long.parseLong(text.reinterpret(Long.MAX_VALUE).getString(0)))
            .orElse(0L);
      } finally {
        api.releaseKeyValues(stats);
      }
    } catch (Throwable e) {
      throw new Internal("A session's allocator cannot be read: " + e.getMessage(), e);
    }
  }

  @Override
  public void close() {
    try {
      api.releaseAllocator(allocator);
    } catch (Throwable e) {
      throw new Internal("A session's allocator cannot be released: " + e.getMessage(), e);
    }
  }
}
