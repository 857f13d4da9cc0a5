package io.epidote.engine.memory;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Pages of memory that was mapped, from a file or not. */
public final class MappedPages {
  /** Linux 5.4: writes back and takes out of the page cache what nobody else has mapped. */
  private static final int MADV_PAGEOUT = 21;

  /** Takes the pages out of this process. */
  private static final int MADV_DONTNEED = 4;

  private static final MethodHandle ADVISE =
      NativePages.function(
          "madvise", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));

  /**
   * Lets a mapped file leave memory: this process's, and that of the system where no other process
   * has it mapped. It can be read all the same, from the disk then. Where the system cannot do
   * that, nothing happens.
   *
   * @param mapped from the beginning of a page, read-only
   */
  public void drop(MemorySegment mapped) {
    if (NativePages.LINUX) {
      advise(mapped, MADV_PAGEOUT);
      advise(mapped, MADV_DONTNEED);
    }
  }

  /**
   * Frees the memory behind a mapping of no file, which is all zeros from then on.
   *
   * @param mapped from the beginning of a page
   */
  void discard(MemorySegment mapped) {
    if (NativePages.LINUX) {
      advise(mapped, MADV_DONTNEED);
    }
  }

  private static void advise(MemorySegment mapped, int advice) {
    try {
      // An older kernel refuses the first, which leaves the second.
      int _ =
          (int)
              ADVISE.invokeExact(
                  MemorySegment.ofAddress(mapped.address()), mapped.byteSize(), advice);
    } catch (Throwable e) {
      throw new IllegalStateException("madvise cannot be called", e);
    }
  }
}
