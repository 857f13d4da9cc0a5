package io.epidote.node.transfer;

import io.epidote.proto.stage.v1.Handle;
import java.io.IOException;
import java.net.ConnectException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Optional;
import java.util.Set;
import java.util.zip.CRC32C;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Where nodes of one machine and user find each other's Unix sockets: a folder that nobody else may
 * enter, in which a file's name follows from what every handle says anyway, the process's epoch and
 * its address. An epoch is random, so a file is that very process's or nobody's, whatever shares
 * the folder.
 */
final class UnixSockets {
  private static final Logger log = LoggerFactory.getLogger(UnixSockets.class);

  /** What the address of a Unix socket holds on every platform. */
  private static final int MAX_PATH_BYTES = 100;

  private static final Set<PosixFilePermission> PRIVATE =
      PosixFilePermissions.fromString("rwx------");

  private final Path folder;

  private UnixSockets(Path folder) {
    this.folder = folder;
  }

  /** Empty where the platform has no Unix sockets or no folder that is the user's own. */
  static Optional<UnixSockets> open() {
    return open(
        Path.of(
            System.getProperty("java.io.tmpdir"), "epidote-" + System.getProperty("user.name")));
  }

  static Optional<UnixSockets> open(Path folder) {
    UnixSockets sockets = new UnixSockets(folder);
    if (sockets.path("", 0).toString().getBytes(StandardCharsets.UTF_8).length > MAX_PATH_BYTES) {
      return Optional.empty();
    }
    try {
      ServerSocketChannel.open(StandardProtocolFamily.UNIX).close();
      if (!Files.exists(folder, LinkOption.NOFOLLOW_LINKS)) {
        Files.createDirectory(folder, PosixFilePermissions.asFileAttribute(PRIVATE));
      }
      boolean own =
          Files.isDirectory(folder, LinkOption.NOFOLLOW_LINKS)
              && Files.getPosixFilePermissions(folder, LinkOption.NOFOLLOW_LINKS).equals(PRIVATE)
              && Files.isWritable(folder);
      return own ? Optional.of(sockets) : Optional.empty();
    } catch (IOException | UnsupportedOperationException e) {
      log.debug("No Unix sockets in {}", folder, e);
      return Optional.empty();
    }
  }

  /** Where that life of that process listens, if it does. */
  Path path(String address, long epoch) {
    CRC32C crc = new CRC32C();
    crc.update(address.getBytes(StandardCharsets.UTF_8));
    return folder.resolve("%016x%08x.sock".formatted(epoch, crc.getValue()));
  }

  /** The socket of the node that holds the bytes, when it is on this machine. */
  Optional<Path> find(Handle handle) {
    return Optional.of(path(handle.getAddress(), handle.getEpoch())).filter(Files::exists);
  }

  /** Removes the sockets of processes that did not end well: nobody listens there. */
  void sweep() {
    try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, "*.sock")) {
      for (Path file : files) {
        if (isDead(file)) {
          Files.deleteIfExists(file);
        }
      }
    } catch (IOException e) {
      log.debug("Cannot look through {}", folder, e);
    }
  }

  private static boolean isDead(Path socket) {
    try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
      channel.configureBlocking(false);
      channel.connect(UnixDomainSocketAddress.of(socket));
      return false;
    } catch (ConnectException e) {
      return true;
    } catch (IOException e) {
      return false;
    }
  }
}
