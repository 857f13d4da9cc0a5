package io.epidote.encode;

import java.nio.FloatBuffer;
import java.util.List;

/** Makes tiles of an image file. Called by several threads at a time. */
@FunctionalInterface
public interface TileSource {
  /**
   * @param file the image as the client sent it
   * @return normalised pixels of each tile, the overview last
   * @throws io.epidote.engine.error.EpidoteException when it is not an image that can be served
   */
  List<FloatBuffer> tiles(byte[] file);
}
