package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Pages of machine code, on Linux. They are written first, and executable only afterwards. */
final class ExecutableMemory {
  /** PROT_READ, with PROT_WRITE and with PROT_EXEC. */
  private static final int READ_WRITE = 0x3;

  private static final int READ_EXECUTE = 0x5;

  /** MAP_PRIVATE and MAP_ANONYMOUS; no file. */
  private static final int ANONYMOUS = 0x22;

  private static final int NO_FILE = -1;
  private static final long FAILED = -1;

  private ExecutableMemory() {}

  /** Code in memory that is never freed. */
  static MemorySegment load(byte[] code) {
    MethodHandle map =
        function(
            "mmap",
            FunctionDescriptor.of(
                ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG));
    MethodHandle protect =
        function("mprotect", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
    try {
      MemorySegment pages =
          (MemorySegment)
              map.invokeExact(
                  MemorySegment.NULL, (long) code.length, READ_WRITE, ANONYMOUS, NO_FILE, 0L);
      if (pages.address() == FAILED) {
        throw new IllegalStateException("mmap refused " + code.length + " bytes");
      }
      MemorySegment memory = pages.reinterpret(code.length);
      MemorySegment.copy(MemorySegment.ofArray(code), 0, memory, 0, code.length);
      int refused = (int) protect.invokeExact(pages, (long) code.length, READ_EXECUTE);
      if (refused != 0) {
        throw new IllegalStateException("mprotect refused to make code executable");
      }
      return memory;
    } catch (RuntimeException e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException("generated code cannot be loaded", e);
    }
  }

  private static MethodHandle function(String name, FunctionDescriptor signature) {
    Linker linker = Linker.nativeLinker();
    return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), signature);
  }
}
