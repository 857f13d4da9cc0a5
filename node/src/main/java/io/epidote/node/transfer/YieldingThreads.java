package io.epidote.node.transfer;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.netty.util.concurrent.DefaultThreadFactory;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.invoke.MethodHandle;
import java.util.Optional;

/**
 * Threads that make way for others. Moving bytes takes a core for milliseconds at a time, and what
 * has to wait for that core meanwhile, a token or a step of the model, is short. On Linux, where a
 * thread has a niceness of its own, theirs is higher than their process's.
 */
final class YieldingThreads extends DefaultThreadFactory {
  private static final int NICER = 5;

  private final Optional<MethodHandle> nice;

  YieldingThreads(String name) {
    super(name, true);
    Linker linker = Linker.nativeLinker();
    this.nice =
        System.getProperty("os.name").equals("Linux")
            ? linker
                .defaultLookup()
                .find("nice")
                .map(address ->
                    linker.downcallHandle(address, FunctionDescriptor.of(JAVA_INT, JAVA_INT)))
            : Optional.empty();
  }

  @Override
  protected Thread newThread(Runnable work, String name) {
    return super.newThread(
        () -> {
          nice.ifPresent(YieldingThreads::makeNicer);
          work.run();
        },
        name);
  }

  private static void makeNicer(MethodHandle nice) {
    try {
      int _ = (int) nice.invokeExact(NICER);
    } catch (Throwable e) {
      throw new IllegalStateException("nice cannot be called", e);
    }
  }
}
