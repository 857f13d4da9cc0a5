package io.epidote.engine.image;

import java.awt.color.ColorSpace;
import java.awt.image.BufferedImage;
import java.awt.image.ColorModel;
import java.awt.image.ComponentColorModel;
import java.awt.image.DataBuffer;
import java.awt.image.DataBufferByte;
import java.awt.image.Raster;
import java.awt.image.WritableRaster;
import javax.imageio.ImageTypeSpecifier;

/**
 * Any decoded picture as 8-bit RGB with the values that the file holds. Java would convert greys
 * and embedded colour profiles to sRGB, which Pillow, and so the model's training, does not.
 */
final class RgbConverter {
  private static final int CHANNELS = 3;

  private RgbConverter() {}

  /** Whether pictures of this type are what is wanted, in bytes: blue, green, red. */
  static boolean isPlain(ImageTypeSpecifier type) {
    return type.getBufferedImageType() == BufferedImage.TYPE_3BYTE_BGR
        && type.getColorModel().getColorSpace().isCS_sRGB();
  }

  /** A picture of that type, with any content, for as long as the room is open. */
  static BufferedImage plain(int width, int height, PixelMemory.Room room) {
    int rowBytes = width * CHANNELS;
    byte[] pixels = room.array(height * rowBytes);
    ColorModel model =
        new ComponentColorModel(
            ColorSpace.getInstance(ColorSpace.CS_sRGB),
            false,
            false,
            java.awt.Transparency.OPAQUE,
            DataBuffer.TYPE_BYTE);
    WritableRaster raster =
        Raster.createInterleavedRaster(
            new DataBufferByte(pixels, height * rowBytes),
            width,
            height,
            rowBytes,
            CHANNELS,
            new int[] {2, 1, 0},
            null);
    return new BufferedImage(model, raster, false, null);
  }

  /** The picture itself when it is RGB already. */
  static BufferedImage convert(BufferedImage image, Transparency transparency) {
    if (isPlain(ImageTypeSpecifier.createFromRenderedImage(image))) {
      return image;
    }
    return packed(image, transparency);
  }

  /** The same with a picture's pixels in integers. */
  static BufferedImage packed(BufferedImage image, Transparency transparency) {
    BufferedImage rgb =
        new BufferedImage(image.getWidth(), image.getHeight(), BufferedImage.TYPE_INT_RGB);
    int width = image.getWidth();
    int[] argb = new int[width];
    boolean raw = hasRawSamples(image.getColorModel());
    int[] samples = new int[raw ? width * image.getColorModel().getNumComponents() : 0];
    for (int y = 0; y < image.getHeight(); y++) {
      if (raw) {
        readSamples(image, y, samples, argb);
      } else {
        image.getRGB(0, y, width, 1, argb, 0, width);
      }
      if (transparency == Transparency.OVER_WHITE) {
        for (int x = 0; x < width; x++) {
          argb[x] = overWhite(argb[x]);
        }
      }
      rgb.getRaster().setDataElements(0, y, width, 1, argb);
    }
    return rgb;
  }

  private static boolean hasRawSamples(ColorModel model) {
    int type = model.getColorSpace().getType();
    return model instanceof ComponentColorModel
        && !model.isAlphaPremultiplied()
        && (type == ColorSpace.TYPE_GRAY || type == ColorSpace.TYPE_RGB)
        && model.getComponentSize(0) >= 8
        && model.getComponentSize(0) <= 16;
  }

  private static void readSamples(BufferedImage image, int y, int[] samples, int[] argb) {
    Raster raster = image.getRaster();
    ColorModel model = image.getColorModel();
    raster.getPixels(0, y, argb.length, 1, samples);
    int components = model.getNumComponents();
    int shift = model.getComponentSize(0) - 8;
    boolean gray = model.getNumColorComponents() == 1;
    for (int x = 0; x < argb.length; x++) {
      int at = x * components;
      int red = samples[at] >> shift;
      int green = gray ? red : samples[at + 1] >> shift;
      int blue = gray ? red : samples[at + 2] >> shift;
      int alpha = model.hasAlpha() ? samples[at + components - 1] >> shift : 0xFF;
      argb[x] = alpha << 24 | red << 16 | green << 8 | blue;
    }
  }

  private static int overWhite(int argb) {
    int alpha = argb >>> 24;
    if (alpha == 0xFF) {
      return argb & 0xFFFFFF;
    }
    int result = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
      int value = argb >> shift & 0xFF;
      result |= (value * alpha + 0xFF * (0xFF - alpha) + 127) / 0xFF << shift;
    }
    return result;
  }
}
