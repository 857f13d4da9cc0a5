package io.epidote.engine.memory;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * Zeroed memory outside the heap, of any size, from C's {@code calloc}. What is large comes as the
 * operating system gives it: a page takes room only once it is touched. An arena's own memory is
 * filled with zeros one by one, all of it.
 */
final class NativePages {
  private final MethodHandle calloc;
  private final MethodHandle free;

  NativePages() {
    Linker linker = Linker.nativeLinker();
    this.calloc =
        linker.downcallHandle(
            linker.defaultLookup().findOrThrow("calloc"),
            FunctionDescriptor.of(ADDRESS, JAVA_LONG, JAVA_LONG));
    this.free =
        linker.downcallHandle(
            linker.defaultLookup().findOrThrow("free"), FunctionDescriptor.ofVoid(ADDRESS));
  }

  /**
   * @param alignment a power of two
   * @return memory that is freed when neither the segment nor a view of it can be reached
   * @throws OutOfMemoryError when the system has no room for it
   */
  MemorySegment allocate(long bytes, long alignment) {
    long room = bytes + alignment - 1;
    MemorySegment start;
    try {
      start = (MemorySegment) calloc.invokeExact(1L, room);
    } catch (Throwable e) {
      throw new IllegalStateException("calloc cannot be called", e);
    }
    if (start.address() == 0) {
      throw new OutOfMemoryError("The system has no %d bytes for a pool".formatted(room));
    }
    return start
        .reinterpret(room, Arena.ofAuto(), this::release)
        .asSlice(-start.address() & (alignment - 1), bytes);
  }

  private void release(MemorySegment start) {
    try {
      free.invokeExact(start);
    } catch (Throwable e) {
      throw new IllegalStateException("free cannot be called", e);
    }
  }
}
