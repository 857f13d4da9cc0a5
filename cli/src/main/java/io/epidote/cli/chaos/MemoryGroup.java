package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A control group for a node's memory, version 2 or 1, as a container has one: whoever wants more
 * than its limit is killed by the kernel. Needs Linux and a hierarchy that this process may write.
 * What a command that was killed left behind is removed by the next.
 */
final class MemoryGroup implements AutoCloseable {
  private static final String PREFIX = "epidote-memory-";
  private static final Path ROOT = Path.of("/sys/fs/cgroup");
  private static final long STEP = 1 << 20;

  /** Its processes may take some while a limit is set. */
  private static final long ABOVE_USE = 64 << 20;

  private final Path folder;
  private final boolean second;

  private MemoryGroup(Path folder, boolean second) {
    this.folder = folder;
    this.second = second;
  }

  /** Where groups can be made; empty where they cannot. */
  private static Optional<Path> hierarchy() {
    try {
      Path children = ROOT.resolve("cgroup.subtree_control");
      if (Files.isWritable(children) && Files.readString(children).contains("memory")) {
        return Optional.of(ROOT);
      }
    } catch (IOException e) {
      // Then there is none that is known to work.
    }
    return Optional.of(ROOT.resolve("memory"))
        .filter(first ->
            Files.isWritable(first) && Files.exists(first.resolve("memory.limit_in_bytes")));
  }

  static boolean possible() {
    return hierarchy().isPresent();
  }

  /** Makes one without a limit. */
  static MemoryGroup make(String node) {
    Path root = hierarchy().orElseThrow();
    Path folder = root.resolve(PREFIX + ProcessHandle.current().pid() + "-" + node);
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw new Unavailable(
          "A control group for %s cannot be made: %s".formatted(node, e.getMessage()), e);
    }
    return new MemoryGroup(folder, root.equals(ROOT));
  }

  /** Removes those whose command is gone. */
  static void sweep() {
    hierarchy()
        .ifPresent(root -> {
          try (Stream<Path> groups = Files.list(root)) {
            for (Path group : groups.toList()) {
              String[] parts = group.getFileName().toString().split("-", 4);
              if (group.getFileName().toString().startsWith(PREFIX)
                  && parts.length == 4
                  && parts[2].matches("[0-9]+")
                  && ProcessHandle.of(Long.parseLong(parts[2])).isEmpty()) {
                Files.deleteIfExists(group);
              }
            }
          } catch (IOException e) {
            System.err.println("epidote: an old control group stays: " + e.getMessage());
          }
        });
  }

  /** What stands before a command that is to run in it. */
  List<String> prefix() {
    String join = "echo $$ > '%s' && exec \"$@\"".formatted(folder.resolve("cgroup.procs"));
    return List.of("sh", "-c", join, "sh");
  }

  /** Bytes of its processes' own, which cannot be had back but by their end. */
  long used() {
    String key = second ? "anon " : "rss ";
    try {
      return Files.readAllLines(folder.resolve("memory.stat")).stream()
          .filter(line -> line.startsWith(key))
          .mapToLong(line -> Long.parseLong(line.substring(key.length())))
          .findFirst()
          .orElse(0);
    } catch (IOException e) {
      throw new Unavailable("%s cannot be read: %s".formatted(folder, e.getMessage()), e);
    }
  }

  /**
   * Sets the limit: this, or where the kernel takes none below what is in use (version 1), the
   * least that it takes.
   *
   * @return what it is, bytes
   */
  long limit(long bytes) {
    long most = bytes;
    for (long limit = bytes; ; limit = Math.max(limit + STEP, inUse())) {
      try {
        write(Long.toString(limit));
        return limit;
      } catch (IOException e) {
        most = Math.max(most, inUse() + ABOVE_USE);
        if (second || limit > most) {
          throw new Unavailable(
              "%s takes no limit of %,d bytes: %s".formatted(folder, bytes, e.getMessage()), e);
        }
      }
    }
  }

  /** Bytes with those of files, of version 1. */
  private long inUse() {
    try {
      return second
          ? 0
          : Long.parseLong(Files.readString(folder.resolve("memory.usage_in_bytes")).strip());
    } catch (IOException e) {
      throw new Unavailable("%s cannot be read: %s".formatted(folder, e.getMessage()), e);
    }
  }

  /** Takes the limit away. */
  void lift() {
    try {
      write(second ? "max" : "-1");
    } catch (IOException e) {
      throw new Unavailable("%s keeps its limit: %s".formatted(folder, e.getMessage()), e);
    }
  }

  private void write(String limit) throws IOException {
    Files.writeString(
        folder.resolve(second ? "memory.max" : "memory.limit_in_bytes"),
        limit,
        StandardOpenOption.WRITE);
  }

  /** Its node has ended. */
  @Override
  public void close() {
    try {
      Files.deleteIfExists(folder);
    } catch (IOException e) {
      System.err.println("epidote: " + folder + " could not be removed: " + e.getMessage());
    }
  }
}
