package io.epidote.cli.chaos;

import io.epidote.engine.error.EpidoteException.Unavailable;
import java.io.IOException;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * A file system of a node's own, in memory (tmpfs), that can be full: what the node keeps (graphs,
 * converted weights, packed adapters, digests) and its temporary files are there. Needs Linux and
 * root. What a command that was killed left behind is removed by the next.
 */
final class NodeDisk implements AutoCloseable {
  private static final String PREFIX = "epidote-disk-";
  private static final Path MOUNTS = Path.of("/proc/self/mounts");

  /** Files that are written while it is being filled make it larger than it was. */
  private static final int ATTEMPTS = 20;

  private final Path folder;
  private final long bytes;

  private NodeDisk(Path folder, long bytes) {
    this.folder = folder;
    this.bytes = bytes;
  }

  /** Whether this process may mount file systems. */
  static boolean possible() {
    return Files.isReadable(MOUNTS) && "root".equals(System.getProperty("user.name"));
  }

  /**
   * Mounts one.
   *
   * @param bytes that it holds while it is not full
   */
  static NodeDisk mount(String node, long bytes) {
    try {
      Path folder = Files.createTempDirectory("epidote-" + node + "-");
      SystemCommand.run(
          "mount",
          "-t",
          "tmpfs",
          "-o",
          "mode=0700,size=" + bytes,
          PREFIX + ProcessHandle.current().pid() + "-" + node,
          folder.toString());
      Files.createDirectory(folder.resolve("tmp"));
      return new NodeDisk(folder, bytes);
    } catch (IOException e) {
      throw new Unavailable("A disk for %s cannot be made: %s".formatted(node, e.getMessage()), e);
    }
  }

  /** Removes those whose command is gone. */
  static void sweep() {
    if (!possible()) {
      return;
    }
    try {
      for (String line : Files.readAllLines(MOUNTS)) {
        String[] words = line.split(" ", 3);
        String[] parts = words[0].split("-", 4);
        if (words[0].startsWith(PREFIX)
            && parts.length == 4
            && parts[2].matches("[0-9]+")
            && ProcessHandle.of(Long.parseLong(parts[2])).isEmpty()) {
          unmount(Path.of(words[1]));
        }
      }
    } catch (IOException e) {
      throw new Unavailable(MOUNTS + " cannot be read: " + e.getMessage(), e);
    }
  }

  /** What stands before a node's command. */
  List<String> prefix() {
    return List.of(
        "env",
        "EPIDOTE_CACHE=" + folder.resolve("cache"),
        "DJL_CACHE_DIR=" + folder.resolve("djl"));
  }

  /** For its JVM. */
  List<String> flags() {
    return List.of("-Djava.io.tmpdir=" + folder.resolve("tmp"));
  }

  /** Leaves no byte free. */
  void fill() {
    for (int attempt = 1; ; attempt++) {
      try {
        FileStore store = Files.getFileStore(folder);
        resize(store.getTotalSpace() - store.getUnallocatedSpace());
        return;
      } catch (IOException e) {
        throw new Unavailable("%s cannot be looked at: %s".formatted(folder, e.getMessage()), e);
      } catch (Unavailable e) {
        if (attempt == ATTEMPTS) {
          throw e;
        }
      }
    }
  }

  /** Gives room again. */
  void free() {
    resize(bytes);
  }

  private void resize(long size) {
    // tmpfs takes a size of 0 for no bound.
    SystemCommand.run("mount", "-o", "remount,size=" + Math.max(size, 4096), folder.toString());
  }

  private static void unmount(Path folder) throws IOException {
    SystemCommand.run("umount", "-l", folder.toString());
    Files.deleteIfExists(folder);
  }

  /** Its node has ended. */
  @Override
  public void close() {
    try {
      unmount(folder);
    } catch (IOException | Unavailable e) {
      System.err.println("epidote: " + folder + " could not be removed: " + e.getMessage());
    }
  }
}
