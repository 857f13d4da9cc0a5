package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.epidote.engine.memory.NativePages;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Generated functions of nine parameters, one for each number of rows of a tile. */
final class NativeCode {
  /**
   * A call takes microseconds and calls nothing back, so that the thread stays as it is for the
   * JVM: the barriers of leaving and entering it would wait for memory at every block of keys.
   */
  private static final MethodHandle CALL =
      Linker.nativeLinker()
          .downcallHandle(
              FunctionDescriptor.ofVoid(
                  JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
                  JAVA_LONG, JAVA_LONG),
              Linker.Option.critical(false));

  /** The processor's, as Linux names them: only those that the system lets programs use. */
  static final Set<String> FEATURES = features();

  private static final NativePages PAGES = new NativePages();

  /** By rows, from 1. */
  private final MemorySegment[] functions;

  private NativeCode(MemorySegment[] functions) {
    this.functions = functions;
  }

  /** Writes a function for so many rows. */
  @FunctionalInterface
  interface Writer {
    void write(Assembler code, int rows);
  }

  /**
   * Generates functions for 1 to {@code maxRows} rows.
   *
   * @param wide with 512-bit vectors; otherwise 256
   */
  static NativeCode byRows(boolean wide, int maxRows, Writer writer) {
    Assembler code = new Assembler(wide);
    List<Integer> starts = new ArrayList<>();
    for (int rows = 1; rows <= maxRows; rows++) {
      code.align();
      starts.add(code.position());
      writer.write(code, rows);
    }
    MemorySegment memory = PAGES.executable(code.bytes());
    return new NativeCode(
        starts.stream().map(start -> memory.asSlice(start)).toArray(MemorySegment[]::new));
  }

  private static Set<String> features() {
    Path processors = Path.of("/proc/cpuinfo");
    if (!System.getProperty("os.arch").equals("amd64") || !Files.isReadable(processors)) {
      return Set.of();
    }
    try {
      return Files.readAllLines(processors).stream()
          .filter(line -> line.startsWith("flags"))
          .findFirst()
          .map(
              line -> Set.copyOf(List.of(line.substring(line.indexOf(':') + 1).strip().split(" "))))
          .orElse(Set.of());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Calls the function for {@code rows} rows: six parameters in registers, three on the stack. */
  void call(int rows, long a, long b, long c, long d, long e, long f, long g, long h, long i) {
    try {
      CALL.invokeExact(functions[rows - 1], a, b, c, d, e, f, g, h, i);
    } catch (Throwable thrown) {
      throw new IllegalStateException("generated code cannot be called", thrown);
    }
  }
}
