package io.epidote.engine.kernel;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

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
import java.util.Optional;
import java.util.Set;

/** Code for x86-64 with AVX-512 VNNI or AVX2, generated when it is first used. */
final class NativeByteProducts implements ByteProducts {
  /** {@code void f(rows, rowBytes, panel, groups, to, toBytes, scales, ahead)} */
  private static final MethodHandle CALL =
      Linker.nativeLinker()
          .downcallHandle(
              FunctionDescriptor.ofVoid(
                  JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG,
                  JAVA_LONG));

  /** By rows, from 1. */
  private final MemorySegment[] functions;

  NativeByteProducts(boolean vnni) {
    Assembler code = new Assembler(vnni);
    List<Integer> starts = new ArrayList<>();
    for (int rows = 1; rows <= ByteProductsCode.maxRows(vnni); rows++) {
      code.align();
      starts.add(code.position());
      ByteProductsCode.write(code, vnni, rows);
    }
    MemorySegment memory = ExecutableMemory.load(code.bytes());
    this.functions =
        starts.stream().map(start -> memory.asSlice(start)).toArray(MemorySegment[]::new);
  }

  /** Nothing where the processor or the system is another. */
  static Optional<ByteProducts> of() {
    Set<String> features = features();
    if (features.containsAll(List.of("avx512f", "avx512_vnni"))) {
      return Optional.of(new NativeByteProducts(true));
    }
    return features.contains("avx2")
        ? Optional.of(new NativeByteProducts(false))
        : Optional.empty();
  }

  /** The processor's, as Linux names them: only those that the system lets programs use. */
  static Set<String> features() {
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

  @Override
  public int maxRows() {
    return functions.length;
  }

  @Override
  public void multiply(
      int count, long rows, long rowBytes, long panel, int in, long scales, long to, long toBytes) {
    try {
      CALL.invokeExact(
          functions[count - 1],
          rows,
          rowBytes,
          panel,
          (long) in / PackedBytes.GROUP,
          to,
          toBytes,
          scales,
          PackedBytes.panelBytes(in));
    } catch (Throwable e) {
      throw new IllegalStateException("generated code cannot be called", e);
    }
  }
}
