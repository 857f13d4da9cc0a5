package io.epidote.engine.onnx;

import static java.nio.file.StandardOpenOption.CREATE_NEW;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;

/**
 * The external data of a model: tensors one after the other at page-aligned offsets, so that ONNX
 * Runtime can map each instead of reading it.
 */
public final class WeightFile implements AutoCloseable {
  private static final int ALIGNMENT = 4096;

  private final String fileName;
  private final FileChannel channel;
  private long end;
  private long bytes;

  /** Creates the file, which must not exist. */
  public WeightFile(Path file) throws IOException {
    this.fileName = file.getFileName().toString();
    this.channel = FileChannel.open(file, CREATE_NEW, READ, WRITE);
  }

  /** Where a tensor stands in the file. */
  record Extent(String fileName, long offset, long length) {}

  /** Fills a tensor's bytes, little-endian, in place in the mapped file. */
  @FunctionalInterface
  public interface Filler {
    void fill(ByteBuffer destination) throws IOException;
  }

  Extent append(long length, Filler filler) throws IOException {
    long offset = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    filler.fill(channel.map(MapMode.READ_WRITE, offset, length).order(ByteOrder.LITTLE_ENDIAN));
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
    channel.force(true);
    channel.close();
  }
}
