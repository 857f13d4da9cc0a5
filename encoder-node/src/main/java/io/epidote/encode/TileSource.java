package io.epidote.encode;

import io.epidote.proto.stage.v1.MediaItem;
import java.nio.FloatBuffer;
import java.util.List;

/** Makes tiles of media items. Called by several threads at a time. */
@FunctionalInterface
public interface TileSource {
  /**
   * @param item whose frames, if it is a video, were checked to be in its data
   * @return normalised pixels of each tile, an image's overview last
   * @throws io.epidote.engine.error.EpidoteException when it is nothing that can be served
   */
  List<FloatBuffer> tiles(MediaItem item);

  /** Takes pixels back that nobody reads any more, for another tile's. */
  default void recycle(FloatBuffer pixels) {}
}
