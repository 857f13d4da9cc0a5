package io.epidote.engine.kernel;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;

/** Java methods as C function pointers, for as long as the arena lives. */
final class UpcallStubs {
  private static final Linker LINKER = Linker.nativeLinker();
  private static final MethodHandles.Lookup LOOKUP = MethodHandles.lookup();

  private final Arena arena;

  UpcallStubs(Arena arena) {
    this.arena = arena;
  }

  /** {@code void worker(void* userData, size_t index)} */
  MemorySegment worker(KernelContext context) {
    return stub(
        context, "worker", FunctionDescriptor.ofVoid(ValueLayout.ADDRESS, ValueLayout.JAVA_LONG));
  }

  /** A method of {@code target} that has the C function's parameters in order. */
  MemorySegment stub(Object target, String method, FunctionDescriptor signature) {
    MethodType type = signature.toMethodType();
    try {
      MethodHandle handle = LOOKUP.bind(target, method, type);
      return LINKER.upcallStub(handle, signature, arena);
    } catch (NoSuchMethodException | IllegalAccessException e) {
      throw new IllegalStateException("No method " + method + type + " of " + target, e);
    }
  }
}
