package io.epidote.node.memory;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;

/** Memory that the system would still give to this process. */
public final class SystemMemory {
  private final Path root;

  public SystemMemory() {
    this(Path.of("/"));
  }

  /**
   * @param root of the file system that {@code /proc} and {@code /sys} are looked for in
   */
  SystemMemory(Path root) {
    this.root = root;
  }

  /**
   * The least of what the machine has available and what the control groups of this process leave,
   * file pages that could be dropped not counted as taken. {@link Long#MAX_VALUE} where the system
   * tells neither.
   */
  public long available() {
    return Math.min(machine(), group());
  }

  private long machine() {
    return line(root.resolve("proc/meminfo"), "MemAvailable:").orElse(Long.MAX_VALUE / 1024) * 1024;
  }

  /** Version 2; the group of the process and those above it. */
  private long group() {
    Path mount = root.resolve("sys/fs/cgroup");
    long least = Long.MAX_VALUE;
    for (Path group = mount.resolve(ownGroup()).normalize();
        group != null && group.startsWith(mount);
        group = group.getParent()) {
      OptionalLong limit = number(group.resolve("memory.max"));
      OptionalLong used = number(group.resolve("memory.current"));
      if (limit.isPresent() && used.isPresent()) {
        long files = line(group.resolve("memory.stat"), "inactive_file").orElse(0);
        least = Math.min(least, limit.getAsLong() - used.getAsLong() + files);
      }
    }
    return Math.max(0, least);
  }

  private String ownGroup() {
    try {
      return Files.readAllLines(root.resolve("proc/self/cgroup")).stream()
          .filter(line -> line.startsWith("0::/"))
          .map(line -> line.substring("0::/".length()))
          .findFirst()
          .orElse("");
    } catch (IOException e) {
      return "";
    }
  }

  private static OptionalLong number(Path file) {
    try {
      String text = Files.readString(file).strip();
      return text.matches("\\d{1,18}")
          ? OptionalLong.of(Long.parseLong(text))
          : OptionalLong.empty();
    } catch (IOException e) {
      return OptionalLong.empty();
    }
  }

  /** The number in a line that begins with a name. */
  private static OptionalLong line(Path file, String name) {
    try {
      return Files.readAllLines(file).stream()
          .filter(line -> line.startsWith(name))
          .map(line -> line.replaceAll("\\D", ""))
          .filter(digits -> !digits.isEmpty() && digits.length() < 19)
          .mapToLong(Long::parseLong)
          .findFirst();
    } catch (IOException e) {
      return OptionalLong.empty();
    }
  }
}
