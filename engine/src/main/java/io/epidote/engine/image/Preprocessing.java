package io.epidote.engine.image;

import io.epidote.engine.checkpoint.ConfigFile;
import io.epidote.engine.checkpoint.Connector;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.awt.image.BufferedImage;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** What {@code preprocessor_config.json} says of how a picture becomes tiles. */
sealed interface Preprocessing permits GridPreprocessing, CropPreprocessing {
  /** Width and height, pixels. */
  record Size(int width, int height) {}

  /** Edge of a tile, pixels. */
  int tileSize();

  /** What happens to pixels. */
  PixelRules pixels();

  /**
   * How a picture of this size, pixels, is cut.
   *
   * @throws InvalidRequest when it is so thin that it would become too large on the way
   */
  TilePlan plan(int width, int height);

  /** The tiles of an RGB picture by its plan, the overview last; direct buffers, the caller's. */
  List<FloatBuffer> tiles(BufferedImage picture, TileBuffers buffers);

  /**
   * Reads the file.
   *
   * @param connector of the model, whose prompts are of its kind of tiles
   */
  static Preprocessing read(Path folder, Connector connector) {
    ConfigFile config = ConfigFile.read(folder.resolve("preprocessor_config.json"));
    for (String key : List.of("do_resize", "do_convert_rgb")) {
      if (!config.flag(key, true)) {
        throw config.unsupported(key, List.of("true"));
      }
    }
    // The second is the first one's older name.
    String key =
        config.has("feature_extractor_type") && !config.has("image_processor_type")
            ? "feature_extractor_type"
            : "image_processor_type";
    List<String> supported =
        switch (connector) {
          case Connector.PixelShuffle _ -> GridPreprocessing.PROCESSORS;
          case Connector.Mlp _ ->
              Stream.of(CropPreprocessing.CLIP, CropPreprocessing.SIGLIP)
                  .flatMap(List::stream)
                  .toList();
        };
    String processor = config.text(key, supported.getFirst());
    if (!supported.contains(processor)) {
      throw config.unsupported(key, supported);
    }
    if (GridPreprocessing.PROCESSORS.contains(processor)) {
      return GridPreprocessing.read(config);
    }
    return CropPreprocessing.SIGLIP.contains(processor)
        ? CropPreprocessing.readSiglip(config)
        : CropPreprocessing.readClip(config);
  }
}
