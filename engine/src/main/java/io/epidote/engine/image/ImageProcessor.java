package io.epidote.engine.image;

import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.checkpoint.VisionConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.TooLarge;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;

/**
 * Makes tiles of pictures as the model's image processor in Hugging Face's library does: resized,
 * cut, normalised. The router needs only {@link #probe} and {@link #plan}, which read a header;
 * {@link #tiles} decodes. Safe for use by several threads.
 */
public final class ImageProcessor {
  private final PictureReader reader;
  private final Preprocessing preprocessing;

  private ImageProcessor(PictureReader reader, Preprocessing preprocessing) {
    this.reader = reader;
    this.preprocessing = preprocessing;
  }

  /**
   * Reads {@code preprocessor_config.json}.
   *
   * @throws BadCheckpoint when it is missing, wants what Epidote cannot do, or cuts tiles of
   *     another size than the vision tower takes
   */
  public static ImageProcessor open(Path folder, ModelConfig config, ImageLimits limits) {
    VisionConfig vision =
        config
            .vision()
            .orElseThrow(() ->
                new BadCheckpoint(
                    "%s has no vision tower (model_type %s), so it takes no pictures"
                        .formatted(folder, config.modelType())));
    Preprocessing preprocessing = Preprocessing.read(folder, vision.connector());
    if (preprocessing.tileSize() != vision.imageSize()) {
      throw new BadCheckpoint(
          "%s makes tiles of %d pixels (%s), expected vision_config.image_size = %d"
              .formatted(
                  folder.resolve("preprocessor_config.json"),
                  preprocessing.tileSize(),
                  preprocessing instanceof GridPreprocessing
                      ? "max_image_size.longest_edge"
                      : "crop_size or size",
                  vision.imageSize()));
    }
    return new ImageProcessor(new PictureReader(limits), preprocessing);
  }

  /**
   * Reads a picture's header; allocates nothing of the picture's size.
   *
   * @throws InvalidRequest when it is empty, no picture, or its header is cut off
   * @throws TooLarge when the file or the picture is over a limit
   */
  public ImageInfo probe(ByteBuffer file) {
    return reader.probe(file);
  }

  /** As {@link #probe(ByteBuffer)}. */
  public ImageInfo probe(byte[] file) {
    return probe(ByteBuffer.wrap(file));
  }

  /**
   * How a picture of this size, pixels, is cut.
   *
   * @throws InvalidRequest when it is too thin for the model's preprocessing
   */
  public TilePlan plan(int width, int height) {
    return preprocessing.plan(width, height);
  }

  /**
   * Decodes a picture and cuts it by its plan: the grid's tiles row by row, then the overview.
   *
   * @return for each tile a direct buffer {@code [3, tileSize, tileSize]} from position 0, native
   *     order, normalised; the caller's
   * @throws InvalidRequest when it is empty, no picture, truncated or damaged
   * @throws TooLarge when the file or the picture is over a limit
   */
  public List<FloatBuffer> tiles(ByteBuffer file) {
    return tiles(file, new TileBuffers());
  }

  /**
   * As {@link #tiles(ByteBuffer)}, in buffers that were used before; the caller gives the tiles
   * back when it has read them.
   */
  public List<FloatBuffer> tiles(ByteBuffer file, TileBuffers buffers) {
    return reader.decode(
        file,
        buffers.pictures(),
        picture ->
            preprocessing.tiles(
                RgbConverter.convert(picture, preprocessing.pixels().transparency()), buffers));
  }

  /** As {@link #tiles(ByteBuffer)}. */
  public List<FloatBuffer> tiles(byte[] file) {
    return tiles(ByteBuffer.wrap(file));
  }
}
