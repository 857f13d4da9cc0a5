package io.epidote.node.memory;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Which pages of this process are in memory, from {@code /proc/self/pagemap}. */
final class ResidentPages implements AutoCloseable {
  private static final int ENTRY_BYTES = Long.BYTES;
  private static final int CHUNK_ENTRIES = 1 << 16;

  private final FileChannel pagemap;
  private final long pageBytes;

  ResidentPages(long pageBytes) throws IOException {
    this.pagemap = FileChannel.open(Path.of("/proc/self/pagemap"), StandardOpenOption.READ);
    this.pageBytes = pageBytes;
  }

  /** Bytes of the pages of {@code memory} that are in memory. */
  long bytes(MemorySegment memory) throws IOException {
    long first = memory.address() / pageBytes;
    long end = Math.ceilDiv(memory.address() + memory.byteSize(), pageBytes);
    long present = 0;
    ByteBuffer entries =
        ByteBuffer.allocate((int) Math.min(CHUNK_ENTRIES, end - first) * ENTRY_BYTES)
            .order(ByteOrder.nativeOrder());
    for (long page = first; page < end; page += entries.limit() / ENTRY_BYTES) {
      entries.clear().limit((int) Math.min(entries.capacity(), (end - page) * ENTRY_BYTES));
      if (pagemap.read(entries, page * ENTRY_BYTES) < entries.limit()) {
        throw new IOException("pagemap ended early");
      }
      for (int i = 0; i < entries.limit(); i += ENTRY_BYTES) {
        // Bit 63 says that a page is in memory, whatever else the reader may not see.
        present += entries.getLong(i) < 0 ? 1 : 0;
      }
    }
    return present * pageBytes;
  }

  @Override
  public void close() throws IOException {
    pagemap.close();
  }
}
