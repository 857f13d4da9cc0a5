package io.epidote.engine.model;

import io.epidote.engine.disk.Drafts;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;

/**
 * An adapter's matrices as kernels read them, one after the other in a file of the cache: packed
 * once, then mapped and shared by every process, as the base's weights are. Its name says what it
 * was made of.
 */
final class AdapterFile {
  /** So that vectors of a matrix do not lie across lines of the cache more often than they must. */
  private static final int ALIGNMENT = 64;

  private final List<Part> parts = new ArrayList<>();
  private long bytes;

  /** Fills a matrix in place. */
  @FunctionalInterface
  interface Filler {
    void fill(MemorySegment destination);
  }

  private record Part(long offset, long bytes, Filler filler) {}

  /** Adds a matrix and gives its place in the file. */
  long add(long length, Filler filler) {
    long offset = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    parts.add(new Part(offset, length, filler));
    bytes = offset + length;
    return offset;
  }

  long bytes() {
    return bytes;
  }

  /**
   * Maps the file, written first when it is not there.
   *
   * @throws BadCheckpoint when the cache has no room, or what a filler throws
   */
  MemorySegment map(Path file, Arena arena) {
    try {
      if (!Files.exists(file) || Files.size(file) != bytes) {
        write(file);
      }
      try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
        return channel.map(MapMode.READ_ONLY, 0, bytes, arena);
      }
    } catch (IOException e) {
      throw new BadCheckpoint(
          "The packed adapter cannot be written to %s (%s); make room there, or name another folder with EPIDOTE_CACHE"
              .formatted(file.getParent(), e.getMessage()),
          e);
    }
  }

  private void write(Path file) throws IOException {
    Files.createDirectories(file.getParent());
    Drafts.removeOld(file.getParent());
    Path draft = Files.createTempFile(file.getParent(), Drafts.PREFIX, "");
    try {
      try (FileChannel channel =
              FileChannel.open(draft, StandardOpenOption.READ, StandardOpenOption.WRITE);
          Arena scratch = Arena.ofConfined()) {
        Drafts.reserve(channel, 0, bytes);
        MemorySegment all = channel.map(MapMode.READ_WRITE, 0, bytes, scratch);
        for (Part part : parts) {
          part.filler().fill(all.asSlice(part.offset(), part.bytes()));
        }
        channel.force(true);
      }
      Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(draft);
    }
  }
}
