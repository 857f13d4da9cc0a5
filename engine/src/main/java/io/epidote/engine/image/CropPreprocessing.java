package io.epidote.engine.image;

import io.epidote.engine.checkpoint.ConfigFile;
import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.awt.image.BufferedImage;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Optional;

/**
 * CLIP's and SigLIP's: resized by the shortest edge or to an exact size, then the tile from the
 * center.
 *
 * @param exact the size to which every picture is resized; empty for the shortest edge
 * @param shortestEdge to which pictures are resized otherwise, pixels
 */
record CropPreprocessing(Optional<Size> exact, int shortestEdge, int tileSize, PixelRules pixels)
    implements Preprocessing {
  static final List<String> CLIP =
      List.of(
          "CLIPImageProcessor",
          "CLIPImageProcessorFast",
          "CLIPImageProcessorPil",
          "CLIPFeatureExtractor");
  static final List<String> SIGLIP =
      List.of("SiglipImageProcessor", "SiglipImageProcessorFast", "SiglipImageProcessorPil");

  private static final int BICUBIC = 3;

  /** Of a picture on the way to its tile: a line of pixels must not become gigabytes. */
  private static final int MAX_LENGTH = 64;

  static CropPreprocessing readClip(ConfigFile config) {
    Optional<Size> exact = square(config, "size");
    int edge = exact.map(Size::width).orElseGet(() -> shortestEdge(config));
    int tile = edge;
    if (config.flag("do_center_crop", true)) {
      tile = config.value("crop_size").map(size -> size.isInt() ? size.intValue() : 0).orElse(224);
      if (tile == 0) {
        tile = square(config, "crop_size").orElseThrow().width();
      }
    } else if (exact.isEmpty()) {
      throw config.unsupported("do_center_crop", List.of("true, unless size is exact"));
    }
    if (tile > edge) {
      throw config.inconsistent(
          "crop_size is %d, expected at most the %d of size".formatted(tile, edge));
    }
    return new CropPreprocessing(
        exact,
        edge,
        tile,
        PixelRules.read(
            config,
            new PixelRules.Defaults(
                BICUBIC,
                List.of(0.48145466, 0.4578275, 0.40821073),
                List.of(0.26862954, 0.26130258, 0.27577711),
                Transparency.DROPPED)));
  }

  static CropPreprocessing readSiglip(ConfigFile config) {
    if (config.flag("do_center_crop", false)) {
      throw config.unsupported("do_center_crop", List.of("false"));
    }
    Size size =
        config.has("size")
            ? square(config, "size")
                .orElseThrow(
                    () -> config.unsupported("size", List.of("{\"height\": n, \"width\": n}")))
            : new Size(224, 224);
    return new CropPreprocessing(
        Optional.of(size),
        size.width(),
        size.width(),
        PixelRules.read(config, PixelRules.Defaults.standard(BICUBIC, Transparency.DROPPED)));
  }

  /** Older configs have a number in place of the object. */
  private static int shortestEdge(ConfigFile config) {
    if (!config.has("size")) {
      return 224;
    }
    if (config.value("size").orElseThrow().isInt()) {
      return config.positive("size");
    }
    ConfigFile size = config.object("size").orElseThrow();
    if (!size.has("shortest_edge")) {
      throw config.unsupported(
          "size", List.of("{\"shortest_edge\": n}", "{\"height\": n, \"width\": n}"));
    }
    return size.positive("shortest_edge");
  }

  /** A height and a width, which have to be the same: tiles are square. */
  private static Optional<Size> square(ConfigFile config, String key) {
    if (!config.has(key) || config.value(key).orElseThrow().isInt()) {
      return Optional.empty();
    }
    ConfigFile size = config.object(key).orElseThrow();
    if (!size.has("height") && !size.has("width")) {
      return Optional.empty();
    }
    int edge = size.positive("height");
    if (size.positive("width") != edge) {
      throw config.unsupported(key, List.of("squares"));
    }
    return Optional.of(new Size(edge, edge));
  }

  private Size resized(int width, int height) {
    if (exact.isPresent()) {
      return exact.get();
    }
    int longer = Math.max(width, height);
    int shorter = Math.min(width, height);
    long length = (long) shortestEdge * longer / shorter;
    if (length > (long) shortestEdge * MAX_LENGTH) {
      throw new InvalidRequest(
          "the picture has %d x %d pixels; expected the longer edge to be at most %d times the shorter one: crop it"
              .formatted(width, height, MAX_LENGTH));
    }
    return width <= height
        ? new Size(shortestEdge, (int) length)
        : new Size((int) length, shortestEdge);
  }

  @Override
  public TilePlan plan(int width, int height) {
    resized(width, height);
    return new TilePlan(1, 1, tileSize);
  }

  @Override
  public List<FloatBuffer> tiles(BufferedImage picture, TileBuffers buffers) {
    Size size = resized(picture.getWidth(), picture.getHeight());
    try (PixelMemory.Room room = buffers.pictures().open()) {
      return List.of(
          pixels.normalize(
              pixels.resize(picture, size, room),
              (size.width() - tileSize) / 2,
              (size.height() - tileSize) / 2,
              tileSize,
              buffers));
    }
  }
}
