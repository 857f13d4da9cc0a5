package io.epidote.engine.onnx;

import static java.nio.file.StandardOpenOption.CREATE_NEW;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;

import io.epidote.engine.disk.Drafts;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * The external data of a model: tensors one after the other at page-aligned offsets, so that ONNX
 * Runtime can map each instead of reading it. A plan of a file gives every tensor its place and
 * reads none.
 */
public final class WeightFile implements AutoCloseable {
  private static final int ALIGNMENT = 4096;

  private final String fileName;
  private final @Nullable FileChannel channel;
  private long end;
  private long bytes;

  /** Creates the file, which must not exist. */
  public WeightFile(Path file) throws IOException {
    this.fileName = file.getFileName().toString();
    this.channel = FileChannel.open(file, CREATE_NEW, READ, WRITE);
  }

  private WeightFile(String fileName) {
    this.fileName = fileName;
    this.channel = null;
  }

  /** A plan of a file of that name. */
  public static WeightFile plan(String fileName) {
    return new WeightFile(fileName);
  }

  /** Whether tensors get a place only and are not filled. */
  boolean planned() {
    return channel == null;
  }

  /** Where a tensor stands in the file. */
  record Extent(String fileName, long offset, long length) {}

  /** Fills a tensor's bytes, little-endian, in place in the mapped file. */
  @FunctionalInterface
  public interface Filler {
    void fill(ByteBuffer destination) throws IOException;
  }

  /** Likewise, for tensors that may be larger than a buffer. */
  @FunctionalInterface
  public interface LargeFiller {
    void fill(MemorySegment destination) throws IOException;
  }

  Extent append(long length, LargeFiller filler) throws IOException {
    long offset = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (channel != null) {
      Drafts.reserve(channel, offset, length);
      try (Arena arena = Arena.ofConfined()) {
        filler.fill(channel.map(MapMode.READ_WRITE, offset, length, arena));
      }
    }
    end = offset + length;
    bytes += length;
    return new Extent(fileName, offset, length);
  }

  /** Bytes of all tensors, without the gaps between them. */
  public long bytes() {
    return bytes;
  }

  @Override
  public void close() throws IOException {
    if (channel != null) {
      channel.force(true);
      channel.close();
    }
  }
}
