package io.epidote.encode;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.emulated.CostProfile;
import io.epidote.engine.emulated.EmulatedPictures;
import io.epidote.proto.stage.v1.MediaItem;
import java.nio.FloatBuffer;
import java.util.List;

/** Tiles of files that are not decoded: as many as the router counted, by the file's bytes. */
public final class EmulatedTiles implements TileSource {
  private final EmulatedPictures pictures;

  /**
   * @param profile that says what a picture takes
   */
  public EmulatedTiles(CostProfile profile) {
    this.pictures = new EmulatedPictures(requireNonNull(profile, "profile is null"));
  }

  @Override
  public List<FloatBuffer> tiles(MediaItem item) {
    return pictures.tiles(item.getData().asReadOnlyByteBuffer(), item.getTiles());
  }
}
