package io.epidote.cli.chaos;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** What a node has of its machine, which can be taken from it: a disk and memory. Thread-safe. */
public final class NodeMachine implements AutoCloseable {
  private static final long KIB = 1024;

  private final Optional<NodeDisk> disk;
  private final Optional<MemoryGroup> group;
  private @Nullable Long limit;
  private boolean inFull = true;

  /**
   * @param kinds of faults that will be done to the node
   * @param diskBytes that its disk holds
   */
  public NodeMachine(String node, Set<FaultKind> kinds, long diskBytes) {
    this.disk =
        kinds.contains(FaultKind.DISK)
            ? Optional.of(NodeDisk.mount(node, diskBytes))
            : Optional.empty();
    this.group =
        kinds.contains(FaultKind.MEMORY) && MemoryGroup.possible()
            ? Optional.of(MemoryGroup.make(node))
            : Optional.empty();
  }

  /** Removes what commands that were killed left behind. */
  public static void sweep() {
    NodeDisk.sweep();
    MemoryGroup.sweep();
  }

  /** Whether such a fault can be done on this machine. */
  public static boolean does(FaultKind kind) {
    return switch (kind) {
      case DISK -> NodeDisk.possible();
      case MEMORY -> MemoryGroup.possible();
      case RLIMIT -> Files.isExecutable(Path.of("/usr/bin/prlimit"));
      default -> true;
    };
  }

  /** What it takes. */
  public static String needs(FaultKind kind) {
    return switch (kind) {
      case DISK -> "it mounts a file system for the node, which takes Linux and root";
      case MEMORY ->
          "it takes a hierarchy of memory control groups below /sys/fs/cgroup that may be written; rlimit takes none";
      case RLIMIT -> "it takes the command prlimit (Debian: apt install util-linux)";
      default -> "nothing";
    };
  }

  /** What stands before a node's command. */
  public List<String> prefix() {
    List<String> prefix = new ArrayList<>();
    group.ifPresent(each -> prefix.addAll(each.prefix()));
    disk.ifPresent(each -> prefix.addAll(each.prefix()));
    return prefix;
  }

  /** For a node's JVM. */
  public List<String> flags() {
    return disk.map(NodeDisk::flags).orElse(List.of());
  }

  /**
   * Takes from the node what the fault takes.
   *
   * @param pid of its process
   * @return in words
   */
  synchronized String take(Fault fault, long pid) {
    switch (fault.kind()) {
      case DISK -> {
        disk.orElseThrow().fill();
        return "no room on its disk";
      }
      case MEMORY -> {
        MemoryGroup own = group.orElseThrow();
        limit = Math.round(own.used() * fault.amount());
        inFull = own.limit(limit) == limit;
        return "at most %d MiB of memory".formatted(limit >> 20);
      }
      default -> {
        long data = Math.round(dataBytes(pid) * fault.amount());
        SystemCommand.run("prlimit", "--pid", Long.toString(pid), "--data=" + data + ":");
        return "at most %d MiB of data".formatted(data >> 20);
      }
    }
  }

  /**
   * Whether what the fault takes was taken while the process runs. Where control groups of version
   * 1 hold back, the process has to be started again for it.
   */
  synchronized boolean isTakenInFull() {
    return inFull;
  }

  /** The same for a process that is about to be started. */
  synchronized void takeAgain() {
    if (limit != null) {
      group.orElseThrow().limit(requireNonNull(limit));
    }
  }

  /** Gives it back. */
  synchronized void give(Fault fault, long pid) {
    switch (fault.kind()) {
      case DISK -> disk.orElseThrow().free();
      case MEMORY -> {
        limit = null;
        inFull = true;
        group.orElseThrow().lift();
      }
      default -> {
        // One that was started since has no such limit.
        if (ProcessHandle.of(pid).isPresent()) {
          SystemCommand.run("prlimit", "--pid", Long.toString(pid), "--data=unlimited:");
        }
      }
    }
  }

  /** What a process may write of its own memory, which RLIMIT_DATA bounds. */
  private static long dataBytes(long pid) {
    try {
      return Files.readAllLines(Path.of("/proc/" + pid + "/status")).stream()
          .filter(line -> line.startsWith("VmData:"))
          .mapToLong(line -> Long.parseLong(line.replaceAll("[^0-9]", "")) * KIB)
          .findFirst()
          .orElseThrow();
    } catch (IOException e) {
      throw new Unavailable("The node has ended: " + e.getMessage(), e);
    }
  }

  /** The node has ended. */
  @Override
  public void close() {
    group.ifPresent(MemoryGroup::close);
    disk.ifPresent(NodeDisk::close);
  }
}
