package io.epidote.engine.image;

import com.twelvemonkeys.image.ResampleOp;
import io.epidote.engine.checkpoint.ModelConfig;
import io.epidote.engine.error.EpidoteException.BadCheckpoint;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.TooLarge;
import io.epidote.engine.image.Preprocessing.Size;
import java.awt.image.BufferedImage;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Makes tiles of pictures as Hugging Face's Idefics3 image processor does: resized, cut into a
 * grid, with an overview, normalised. The router needs only {@link #probe} and {@link #plan}, which
 * read a header; {@link #tiles} decodes. Safe for use by several threads.
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
    Preprocessing preprocessing = Preprocessing.read(folder);
    int imageSize =
        config
            .vision()
            .orElseThrow(() ->
                new BadCheckpoint(
                    "%s has no vision tower (model_type %s), so it takes no pictures"
                        .formatted(folder, config.modelType())))
            .imageSize();
    if (preprocessing.tileSize() != imageSize) {
      throw new BadCheckpoint(
          "%s: max_image_size.longest_edge is %d, expected vision_config.image_size = %d"
              .formatted(
                  folder.resolve("preprocessor_config.json"), preprocessing.tileSize(), imageSize));
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

  /** How a picture of this size, pixels, is cut. */
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
    BufferedImage picture = RgbConverter.convert(reader.decode(file));
    Size resized = preprocessing.resized(picture.getWidth(), picture.getHeight());
    Size tiled = preprocessing.tiled(resized);
    BufferedImage grid = resize(resize(picture, resized), tiled);
    TilePlan plan = preprocessing.plan(picture.getWidth(), picture.getHeight());
    List<FloatBuffer> tiles = new ArrayList<>(plan.tiles());
    for (int row = 0; row < plan.rows(); row++) {
      for (int column = 0; column < plan.columns(); column++) {
        tiles.add(normalize(grid, column * plan.tileSize(), row * plan.tileSize()));
      }
    }
    if (plan.isGrid()) {
      tiles.add(normalize(resize(grid, new Size(plan.tileSize(), plan.tileSize())), 0, 0));
    }
    return tiles;
  }

  /** As {@link #tiles(ByteBuffer)}. */
  public List<FloatBuffer> tiles(byte[] file) {
    return tiles(ByteBuffer.wrap(file));
  }

  private BufferedImage resize(BufferedImage image, Size size) {
    if (image.getWidth() == size.width() && image.getHeight() == size.height()) {
      return image;
    }
    return new ResampleOp(size.width(), size.height(), preprocessing.filter())
        .filter(image, new BufferedImage(size.width(), size.height(), image.getType()));
  }

  private FloatBuffer normalize(BufferedImage image, int left, int top) {
    int edge = preprocessing.tileSize();
    int plane = edge * edge;
    FloatBuffer tile =
        ByteBuffer.allocateDirect(3 * plane * Float.BYTES)
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    int[] row = new int[edge];
    for (int y = 0; y < edge; y++) {
      image.getRGB(left, top + y, edge, 1, row, 0, edge);
      for (int x = 0; x < edge; x++) {
        for (int channel = 0; channel < 3; channel++) {
          int value = row[x] >> (16 - 8 * channel) & 0xFF;
          tile.put(
              channel * plane + y * edge + x,
              value * preprocessing.scale()[channel] + preprocessing.offset()[channel]);
        }
      }
    }
    return tile;
  }
}
