package io.epidote.engine.image;

import java.nio.ByteBuffer;
import java.util.List;

/**
 * A video as it comes from a request: picture files, one for each frame, or one animated GIF.
 *
 * @param framesPerSecond of the picture files; a GIF says its times itself
 */
public record VideoFile(List<ByteBuffer> files, double framesPerSecond) {
  public VideoFile {
    files = List.copyOf(files);
    if (files.isEmpty() || !(framesPerSecond > 0)) {
      throw new IllegalArgumentException(
          "%d files at %s frames per second".formatted(files.size(), framesPerSecond));
    }
  }
}
