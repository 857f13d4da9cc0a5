package io.epidote.engine.image;

import com.fasterxml.jackson.databind.JsonNode;
import com.twelvemonkeys.image.ResampleOp;
import io.epidote.engine.checkpoint.ConfigFile;
import java.awt.image.BufferedImage;
import java.nio.FloatBuffer;
import java.util.List;

/**
 * How pixels are resampled and become floats.
 *
 * @param filter of {@link ResampleOp}
 * @param scale by which a channel's value of 0 to 255 is multiplied
 * @param offset which is added then
 * @param transparency what becomes of pixels that are not opaque
 */
@SuppressWarnings("ArrayRecordComponent") // package-private, never compared
record PixelRules(int filter, float[] scale, float[] offset, Transparency transparency) {
  /** Pixels on either side that the widest filter looks at. */
  private static final int MAX_SUPPORT = 3;

  /** The values that a processor takes where its config names none. */
  record Defaults(int resample, List<Double> mean, List<Double> std, Transparency transparency) {
    /** Of Idefics3, SmolVLM and SigLIP, but for how pictures are resampled. */
    static Defaults standard(int resample, Transparency transparency) {
      List<Double> half = List.of(0.5, 0.5, 0.5);
      return new Defaults(resample, half, half, transparency);
    }
  }

  static PixelRules read(ConfigFile config, Defaults defaults) {
    boolean normalize = config.flag("do_normalize", true);
    double rescale =
        config.flag("do_rescale", true) ? config.number("rescale_factor", 1 / 255.0) : 1;
    float[] scale = new float[3];
    float[] offset = new float[3];
    for (int channel = 0; channel < 3; channel++) {
      double mean = normalize ? channel(config, "image_mean", channel, defaults.mean()) : 0;
      double std = normalize ? channel(config, "image_std", channel, defaults.std()) : 1;
      if (std <= 0) {
        throw config.wrong("image_std", "numbers above 0");
      }
      scale[channel] = (float) (rescale / std);
      offset[channel] = (float) (-mean / std);
    }
    return new PixelRules(
        filter(config, defaults.resample()), scale, offset, defaults.transparency());
  }

  private static double channel(ConfigFile config, String key, int channel, List<Double> fallback) {
    if (!config.has(key)) {
      return fallback.get(channel);
    }
    JsonNode list = config.value(key).orElseThrow();
    if (!list.isArray() || list.size() != 3 || !list.get(channel).isNumber()) {
      throw config.wrong(key, "a list of three numbers");
    }
    return list.get(channel).doubleValue();
  }

  /** Pillow's numbers. Its bicubic is Catmull-Rom's; TwelveMonkeys' "cubic" is another curve. */
  private static int filter(ConfigFile config, int fallback) {
    return switch (config.integer("resample", fallback)) {
      case 0 -> ResampleOp.FILTER_POINT;
      case 1 -> ResampleOp.FILTER_LANCZOS;
      case 2 -> ResampleOp.FILTER_TRIANGLE;
      case 3 -> ResampleOp.FILTER_CATROM;
      default ->
          throw config.unsupported(
              "resample", List.of("0 (nearest)", "1 (Lanczos)", "2 (bilinear)", "3 (bicubic)"));
    };
  }

  /** The picture in another size, for as long as the room is open; itself when it has that. */
  BufferedImage resize(BufferedImage image, Preprocessing.Size size, PixelMemory.Room room) {
    if (image.getWidth() == size.width() && image.getHeight() == size.height()) {
      return image;
    }
    ResampleOp operation = new ResampleOp(size.width(), size.height(), filter);
    if (isDrawn(image, size) || image.getType() != BufferedImage.TYPE_3BYTE_BGR) {
      // Java2D draws the edges of pictures in bytes in another way.
      BufferedImage packed =
          image.getType() == BufferedImage.TYPE_INT_RGB
              ? image
              : RgbConverter.packed(image, Transparency.DROPPED);
      return operation.filter(
          packed, new BufferedImage(size.width(), size.height(), BufferedImage.TYPE_INT_RGB));
    }
    return operation.filter(image, RgbConverter.plain(size.width(), size.height(), room));
  }

  /** Whether {@link ResampleOp} leaves it to Java2D. */
  private boolean isDrawn(BufferedImage image, Preprocessing.Size size) {
    int least =
        Math.min(
            Math.min(image.getWidth(), image.getHeight()), Math.min(size.width(), size.height()));
    return filter == ResampleOp.FILTER_POINT
        || filter == ResampleOp.FILTER_TRIANGLE
        || least <= MAX_SUPPORT;
  }

  /**
   * A square of an RGB picture.
   *
   * @return a direct buffer {@code [3, edge, edge]} from position 0, native order
   */
  FloatBuffer normalize(BufferedImage image, int left, int top, int edge, TileBuffers buffers) {
    int plane = edge * edge;
    FloatBuffer tile = buffers.take(3 * plane);
    int[] row = new int[edge];
    for (int y = 0; y < edge; y++) {
      image.getRGB(left, top + y, edge, 1, row, 0, edge);
      for (int x = 0; x < edge; x++) {
        for (int channel = 0; channel < 3; channel++) {
          int value = row[x] >> (16 - 8 * channel) & 0xFF;
          tile.put(channel * plane + y * edge + x, value * scale[channel] + offset[channel]);
        }
      }
    }
    return tile;
  }
}
