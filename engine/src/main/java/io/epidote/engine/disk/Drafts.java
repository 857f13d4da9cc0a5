package io.epidote.engine.disk;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Files and folders that are being written, beside their place, into which they are moved when they
 * are whole. A process that is killed meanwhile leaves its draft behind. Several processes share
 * the folders that drafts are in.
 */
public final class Drafts {
  /** How names of drafts begin. */
  public static final String PREFIX = "draft-";

  /** Into a draft that somebody is making something goes more often than that. */
  private static final Duration LEFT = Duration.ofHours(1);

  private static final int ZEROS = 1 << 20;

  private Drafts() {}

  /**
   * Removes drafts into which nothing has been written for an hour: whoever made them is gone. What
   * cannot be removed stays.
   *
   * @param folder in which drafts are; need not be there; null has none
   */
  public static void removeOld(@Nullable Path folder) {
    if (folder == null) {
      return;
    }
    Instant old = Instant.now().minus(LEFT);
    try (Stream<Path> files = Files.list(folder)) {
      for (Path draft :
          files.filter(file -> file.getFileName().toString().startsWith(PREFIX)).toList()) {
        if (lastWritten(draft).isBefore(old)) {
          delete(draft);
        }
      }
    } catch (IOException | UncheckedIOException e) {
      // The folder is not there, or another process removes the same.
    }
  }

  private static Instant lastWritten(Path draft) throws IOException {
    Instant last = Instant.MIN;
    for (Path file : walk(draft)) {
      Instant written = Files.getLastModifiedTime(file).toInstant();
      last = written.isAfter(last) ? written : last;
    }
    return last;
  }

  private static List<Path> walk(Path draft) throws IOException {
    try (Stream<Path> files = Files.walk(draft)) {
      return files.sorted(Comparator.reverseOrder()).toList();
    }
  }

  /** Removes a draft, or nothing where it was moved into its place. */
  public static void delete(Path draft) throws IOException {
    if (Files.exists(draft)) {
      for (Path file : walk(draft)) {
        Files.deleteIfExists(file);
      }
    }
  }

  /**
   * Has the file system give room before it is mapped. Of a page that has none when the disk is
   * full, a mapping tells by a signal, not by an error.
   *
   * @throws IOException when there is no room
   */
  public static void reserve(FileChannel channel, long offset, long length) throws IOException {
    ByteBuffer zeros = ByteBuffer.allocateDirect((int) Math.min(length, ZEROS));
    for (long at = offset; at < offset + length; ) {
      zeros.clear().limit((int) Math.min(zeros.capacity(), offset + length - at));
      at += channel.write(zeros, at);
    }
  }
}
