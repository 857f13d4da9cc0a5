package io.epidote.engine.image;

import java.io.IOException;
import java.io.InputStream;
import javax.imageio.stream.MemoryCacheImageInputStream;

/**
 * A picture's file as readers have it. Some take the end of the file for zeros without end, and
 * find in a hundred bytes work for minutes: a WebP may announce 65,536 Huffman codes that are not
 * there. So whoever goes on reading where there is nothing is stopped, and so is whoever reads for
 * longer than a file may take.
 */
final class FileStream extends MemoryCacheImageInputStream {
  /** What readers look ahead is less. */
  private static final int MOST_PAST_END = 1024;

  private static final int READS_PER_LOOK = 1024;

  private final DecodeDeadline deadline;
  private int pastEnd;
  private int reads;

  FileStream(InputStream file, DecodeDeadline deadline) {
    super(file);
    this.deadline = deadline;
  }

  @Override
  public int read() throws IOException {
    return counted(super.read());
  }

  @Override
  public int read(byte[] bytes, int offset, int length) throws IOException {
    return counted(super.read(bytes, offset, length));
  }

  private int counted(int result) throws IOException {
    if (result < 0 && ++pastEnd > MOST_PAST_END) {
      throw new IOException("the file ends early");
    }
    if (++reads % READS_PER_LOOK == 0 && deadline.isOver()) {
      throw new IOException("it takes too long");
    }
    return result;
  }
}
