package io.epidote.cli;

import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Ends this process when the one that started it is gone, even when that one was killed. */
final class ParentWatch {
  @Option(names = "--parent-pid", hidden = true)
  private @Nullable Long parent;

  void start() {
    if (parent != null) {
      ProcessHandle.of(parent)
          .ifPresentOrElse(
              handle -> handle.onExit().thenRun(() -> System.exit(1)), () -> System.exit(1));
    }
  }
}
