package io.epidote.engine.image;

import com.fasterxml.jackson.databind.JsonNode;
import com.twelvemonkeys.image.ResampleOp;
import io.epidote.engine.checkpoint.ConfigFile;
import java.nio.file.Path;
import java.util.List;

/**
 * What {@code preprocessor_config.json} says, and the arithmetic of Idefics3's image processor.
 *
 * @param longestEdge to which pictures are resized first, pixels
 * @param tileSize edge of a tile, pixels
 * @param splitting whether pictures become several tiles
 * @param upscale whether small pictures are made larger too, as Hugging Face does
 * @param filter of {@link ResampleOp}
 * @param scale by which a channel's value of 0 to 255 is multiplied
 * @param offset which is added then
 */
@SuppressWarnings("ArrayRecordComponent") // package-private, never compared
record Preprocessing(
    int longestEdge,
    int tileSize,
    boolean splitting,
    boolean upscale,
    int filter,
    float[] scale,
    float[] offset) {
  /** Idefics3's own bound on a resized picture. */
  private static final int MAX_EDGE = 4096;

  private static final List<String> PROCESSORS =
      List.of(
          "Idefics3ImageProcessor",
          "Idefics3ImageProcessorFast",
          "Idefics3ImageProcessorPil",
          "SmolVLMImageProcessor",
          "SmolVLMImageProcessorFast",
          "SmolVLMImageProcessorPil");

  /** Width and height, pixels. */
  record Size(int width, int height) {}

  static Preprocessing read(Path folder) {
    ConfigFile config = ConfigFile.read(folder.resolve("preprocessor_config.json"));
    String processor = config.text("image_processor_type", PROCESSORS.getFirst());
    if (!PROCESSORS.contains(processor)) {
      throw config.unsupported("image_processor_type", PROCESSORS);
    }
    for (String key : List.of("do_resize", "do_convert_rgb")) {
      if (!config.flag(key, true)) {
        throw config.unsupported(key, List.of("true"));
      }
    }
    boolean normalize = config.flag("do_normalize", true);
    double rescale =
        config.flag("do_rescale", true) ? config.number("rescale_factor", 1 / 255.0) : 1;
    float[] scale = new float[3];
    float[] offset = new float[3];
    for (int channel = 0; channel < 3; channel++) {
      double mean = normalize ? channel(config, "image_mean", channel) : 0;
      double std = normalize ? channel(config, "image_std", channel) : 1;
      if (std <= 0) {
        throw config.wrong("image_std", "numbers above 0");
      }
      scale[channel] = (float) (rescale / std);
      offset[channel] = (float) (-mean / std);
    }
    int tileSize = edge(config, "max_image_size", 364);
    return new Preprocessing(
        edge(config, "size", 4 * 364),
        tileSize,
        config.flag("do_image_splitting", true),
        config.flag("upscale", true),
        filter(config),
        scale,
        offset);
  }

  private static int edge(ConfigFile config, String key, int fallback) {
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

  private static double channel(ConfigFile config, String key, int channel) {
    if (!config.has(key)) {
      return 0.5;
    }
    JsonNode list = config.value(key).orElseThrow();
    if (!list.isArray() || list.size() != 3 || !list.get(channel).isNumber()) {
      throw config.wrong(key, "a list of three numbers");
    }
    return list.get(channel).doubleValue();
  }

  /** Pillow's numbers. Its bicubic is Catmull-Rom's; TwelveMonkeys' "cubic" is another curve. */
  private static int filter(ConfigFile config) {
    return switch (config.integer("resample", 1)) {
      case 0 -> ResampleOp.FILTER_POINT;
      case 1 -> ResampleOp.FILTER_LANCZOS;
      case 2 -> ResampleOp.FILTER_TRIANGLE;
      case 3 -> ResampleOp.FILTER_CATROM;
      default ->
          throw config.unsupported(
              "resample", List.of("0 (nearest)", "1 (Lanczos)", "2 (bilinear)", "3 (bicubic)"));
    };
  }

  /** The size after the first step: the longest edge as configured, the other even. */
  Size resized(int width, int height) {
    if (!upscale && Math.max(width, height) <= longestEdge) {
      return new Size(width, height);
    }
    double aspect = (double) width / height;
    return width >= height
        ? new Size(longestEdge, Math.max(1, even((int) (longestEdge / aspect))))
        : new Size(Math.max(1, even((int) (longestEdge * aspect))), longestEdge);
  }

  /** The size after the second step, multiples of a tile. */
  Size tiled(Size resized) {
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

  TilePlan plan(int width, int height) {
    Size size = tiled(resized(width, height));
    return new TilePlan(size.height() / tileSize, size.width() / tileSize, tileSize);
  }

  private static int even(int edge) {
    return edge + edge % 2;
  }

  /** At least one tile, however thin the picture. */
  private int upToTiles(int edge) {
    return Math.max(1, Math.ceilDiv(edge, tileSize)) * tileSize;
  }
}
