package io.epidote.cli.chaos;

import java.io.IOException;
import java.net.Socket;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;

/** Which member's process is at the other end of a local connection, as Linux tells in /proc. */
final class SocketOwners {
  private final Supplier<Map<Long, String>> members;

  /**
   * @param members names by process id, as they are now
   */
  SocketOwners(Supplier<Map<Long, String>> members) {
    this.members = members;
  }

  /** Empty when it is nobody's, or cannot be told. */
  String of(Socket accepted) {
    try {
      Optional<String> inode = inode(accepted.getPort(), accepted.getLocalPort());
      if (inode.isPresent()) {
        String link = "socket:[" + inode.get() + "]";
        for (Map.Entry<Long, String> member : members.get().entrySet()) {
          if (has(member.getKey(), link)) {
            return member.getValue();
          }
        }
      }
    } catch (IOException e) {
      // A process that is gone, or a system that does not tell.
    }
    return "";
  }

  /** Of the socket with this local port that is connected to that one. */
  private static Optional<String> inode(int local, int remote) throws IOException {
    String localHex = String.format(Locale.ROOT, ":%04X", local);
    String remoteHex = String.format(Locale.ROOT, ":%04X", remote);
    // A JVM's sockets are of IPv6, connected to mapped addresses, unless it was told otherwise.
    for (String table : new String[] {"/proc/net/tcp", "/proc/net/tcp6"}) {
      if (!Files.exists(Path.of(table))) {
        continue;
      }
      for (String line : Files.readAllLines(Path.of(table))) {
        String[] words = line.strip().split("\\s+", -1);
        if (words.length > 9 && words[1].endsWith(localHex) && words[2].endsWith(remoteHex)) {
          return Optional.of(words[9]);
        }
      }
    }
    return Optional.empty();
  }

  private static boolean has(long pid, String link) throws IOException {
    try (DirectoryStream<Path> files =
        Files.newDirectoryStream(Path.of("/proc", Long.toString(pid), "fd"))) {
      for (Path file : files) {
        try {
          if (Files.readSymbolicLink(file).toString().equals(link)) {
            return true;
          }
        } catch (IOException e) {
          // Closed meanwhile.
        }
      }
    }
    return false;
  }
}
