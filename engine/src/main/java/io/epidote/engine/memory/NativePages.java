package io.epidote.engine.memory;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;

/**
 * Zeroed memory outside the heap, of any size. On Linux what is large is asked of the system
 * itself: a page takes room only once it is touched. An arena fills its memory with zeros, all of
 * it, and so does {@code calloc} with memory that it had given out before.
 */
public final class NativePages {
  static final boolean LINUX = System.getProperty("os.name").equals("Linux");

  /** Below this, a mapping of its own would be waste. */
  static final long LARGE = 128 << 10;

  /** PROT_READ and PROT_WRITE; MAP_PRIVATE and MAP_ANONYMOUS; no file. */
  private static final int READ_WRITE = 0x3;

  /** PROT_READ and PROT_EXEC. */
  private static final int READ_EXECUTE = 0x5;

  private static final int ANONYMOUS = 0x22;
  private static final int NO_FILE = -1;
  private static final long FAILED = -1;

  private final MethodHandle map;
  private final MethodHandle unmap;
  private final MethodHandle protect;
  private final MethodHandle trim;

  public NativePages() {
    this.map =
        function(
            "mmap",
            FunctionDescriptor.of(
                ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    this.unmap = function("munmap", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG));
    this.protect =
        function("mprotect", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
    // Of glibc; another C library keeps nothing, or says so by its absence.
    this.trim = function("malloc_trim", FunctionDescriptor.of(JAVA_INT, JAVA_LONG));
  }

  static MethodHandle function(String name, FunctionDescriptor signature) {
    Linker linker = Linker.nativeLinker();
    return linker
        .defaultLookup()
        .find(name)
        .map(address -> linker.downcallHandle(address, signature))
        // Where there is none it is not called.
        .orElseGet(() -> MethodHandles.empty(signature.toMethodType()));
  }

  /**
   * @param alignment a power of two, at most a page
   * @return memory that is freed when neither the segment nor a view of it can be reached
   * @throws OutOfMemoryError when the system has no room for it
   */
  MemorySegment allocate(long bytes, long alignment) {
    return LINUX && bytes >= LARGE ? mapped(bytes) : Arena.ofAuto().allocate(bytes, alignment);
  }

  /** Has the C library give back to the system what it keeps of memory that was freed. */
  public void trim() {
    if (LINUX) {
      try {
        int _ = (int) trim.invokeExact(0L);
      } catch (Throwable e) {
        throw new IllegalStateException("malloc_trim cannot be called", e);
      }
    }
  }

  /**
   * Machine code, on Linux: written first, and executable only afterwards.
   *
   * @return memory that is freed when neither the segment nor a view of it can be reached
   */
  public MemorySegment executable(byte[] code) {
    MemorySegment memory = mapped(code.length);
    MemorySegment.copy(MemorySegment.ofArray(code), 0, memory, 0, code.length);
    int refused;
    try {
      refused =
          (int)
              protect.invokeExact(
                  MemorySegment.ofAddress(memory.address()), memory.byteSize(), READ_EXECUTE);
    } catch (Throwable e) {
      throw new IllegalStateException("mprotect cannot be called", e);
    }
    if (refused != 0) {
      throw new IllegalStateException("The system refuses to make memory executable");
    }
    return memory;
  }

  private MemorySegment mapped(long bytes) {
    MemorySegment start;
    try {
      start =
          (MemorySegment)
              map.invokeExact(MemorySegment.NULL, bytes, READ_WRITE, ANONYMOUS, NO_FILE, 0L);
    } catch (Throwable e) {
      throw new IllegalStateException("mmap cannot be called", e);
    }
    if (start.address() == FAILED) {
      throw new OutOfMemoryError("The system has no %d bytes".formatted(bytes));
    }
    return start.reinterpret(bytes, Arena.ofAuto(), all -> release(all.address(), bytes));
  }

  private void release(long address, long bytes) {
    try {
      int _ = (int) unmap.invokeExact(MemorySegment.ofAddress(address), bytes);
    } catch (Throwable e) {
      throw new IllegalStateException("munmap cannot be called", e);
    }
  }
}
