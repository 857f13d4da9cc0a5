package io.epidote.engine.image;

import io.epidote.engine.checkpoint.ConfigFile;
import java.awt.image.BufferedImage;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * Idefics3's and SmolVLM's: resized, cut into a grid of tiles, with an overview.
 *
 * @param longestEdge to which pictures are resized first, pixels
 * @param splitting whether pictures become several tiles
 * @param upscale whether small pictures are made larger too, as Hugging Face does
 */
record GridPreprocessing(
    int longestEdge, int tileSize, boolean splitting, boolean upscale, PixelRules pixels)
    implements Preprocessing {
  static final List<String> PROCESSORS =
      List.of(
          "Idefics3ImageProcessor",
          "Idefics3ImageProcessorFast",
          "Idefics3ImageProcessorPil",
          "SmolVLMImageProcessor",
          "SmolVLMImageProcessorFast",
          "SmolVLMImageProcessorPil");

  private static final int LANCZOS = 1;

  /** Idefics3's own bound on a resized picture. */
  private static final int MAX_EDGE = 4096;

  static GridPreprocessing read(ConfigFile config) {
    return new GridPreprocessing(
        edge(config, "size", 4 * 364),
        edge(config, "max_image_size", 364),
        config.flag("do_image_splitting", true),
        config.flag("upscale", true),
        PixelRules.read(config, PixelRules.Defaults.standard(LANCZOS, Transparency.OVER_WHITE)));
  }

  static int edge(ConfigFile config, String key, int fallback) {
    if (!config.has(key)) {
      return fallback;
    }
    ConfigFile size = config.object(key).orElseThrow();
    if (!size.has("longest_edge")) {
      throw config.unsupported(key, List.of("{\"longest_edge\": pixels}"));
    }
    int edge = size.positive("longest_edge");
    if (edge > MAX_EDGE) {
      throw config.wrong(key, "a longest_edge of at most " + MAX_EDGE);
    }
    return edge;
  }

  /** The same for pictures that become one tile each, such as a video's frames. */
  GridPreprocessing unsplit(int firstEdge) {
    return new GridPreprocessing(firstEdge, tileSize, false, true, pixels);
  }

  /** The size after the first step: the longest edge as configured, the other even. */
  private Size resized(int width, int height) {
    if (!upscale && Math.max(width, height) <= longestEdge) {
      return new Size(width, height);
    }
    double aspect = (double) width / height;
    return width >= height
        ? new Size(longestEdge, Math.max(1, even((int) (longestEdge / aspect))))
        : new Size(Math.max(1, even((int) (longestEdge * aspect))), longestEdge);
  }

  /** The size after the second step, multiples of a tile. */
  private Size tiled(Size resized) {
    if (!splitting) {
      return new Size(tileSize, tileSize);
    }
    double aspect = (double) resized.width() / resized.height();
    if (resized.width() >= resized.height()) {
      int width = upToTiles(resized.width());
      return new Size(width, upToTiles((int) (width / aspect)));
    }
    int height = upToTiles(resized.height());
    return new Size(upToTiles((int) (height * aspect)), height);
  }

  @Override
  public TilePlan plan(int width, int height) {
    Size size = tiled(resized(width, height));
    return new TilePlan(size.height() / tileSize, size.width() / tileSize, tileSize);
  }

  @Override
  public List<FloatBuffer> tiles(BufferedImage picture, TileBuffers buffers) {
    try (PixelMemory.Room room = buffers.pictures().open()) {
      return tiles(picture, buffers, room);
    }
  }

  private List<FloatBuffer> tiles(
      BufferedImage picture, TileBuffers buffers, PixelMemory.Room room) {
    Size resized = resized(picture.getWidth(), picture.getHeight());
    BufferedImage grid = pixels.resize(pixels.resize(picture, resized, room), tiled(resized), room);
    TilePlan plan = plan(picture.getWidth(), picture.getHeight());
    List<FloatBuffer> tiles = new ArrayList<>(plan.tiles());
    for (int row = 0; row < plan.rows(); row++) {
      for (int column = 0; column < plan.columns(); column++) {
        tiles.add(pixels.normalize(grid, column * tileSize, row * tileSize, tileSize, buffers));
      }
    }
    if (plan.isGrid()) {
      BufferedImage overview = pixels.resize(grid, new Size(tileSize, tileSize), room);
      tiles.add(pixels.normalize(overview, 0, 0, tileSize, buffers));
    }
    return tiles;
  }

  private static int even(int edge) {
    return edge + edge % 2;
  }

  /** At least one tile, however thin the picture. */
  private int upToTiles(int edge) {
    return Math.max(1, Math.ceilDiv(edge, tileSize)) * tileSize;
  }
}
