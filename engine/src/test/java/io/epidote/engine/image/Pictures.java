package io.epidote.engine.image;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Objects;
import java.util.zip.CRC32;
import javax.imageio.ImageIO;

/** Pictures as files. */
final class Pictures {
  static final int WIDTH = 48;
  static final int HEIGHT = 40;

  private Pictures() {}

  /** The picture that the WebP files in the resources were made of, 48 x 40. */
  static BufferedImage pattern(int type) {
    BufferedImage image = new BufferedImage(WIDTH, HEIGHT, type);
    for (int y = 0; y < HEIGHT; y++) {
      for (int x = 0; x < WIDTH; x++) {
        int rgb = (5 * x) << 16 | (6 * y) << 8 | (x < WIDTH / 2 ? 200 : 30);
        int alpha = type == BufferedImage.TYPE_INT_ARGB ? 5 * x : 0xFF;
        image.setRGB(x, y, alpha << 24 | rgb);
      }
    }
    return image;
  }

  /** One file of the pattern in each format. */
  static byte[] file(ImageFormat format) {
    return switch (format) {
      case WEBP -> resource("lossless.webp");
      default -> write(pattern(BufferedImage.TYPE_INT_RGB), format.readerName());
    };
  }

  static byte[] write(BufferedImage image, String format) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try {
      if (!ImageIO.write(image, format, bytes)) {
        throw new IllegalArgumentException("no writer of " + format);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return bytes.toByteArray();
  }

  static byte[] resource(String name) {
    try (InputStream stream = Pictures.class.getResourceAsStream(name)) {
      return Objects.requireNonNull(stream, name).readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A PNG whose header claims another size. */
  static byte[] pngClaiming(int width, int height) {
    byte[] png = Arrays.copyOf(file(ImageFormat.PNG), file(ImageFormat.PNG).length);
    CRC32 crc = new CRC32();
    ByteBuffer bytes = ByteBuffer.wrap(png);
    bytes.putInt(16, width).putInt(20, height);
    crc.update(png, 12, 17);
    bytes.putInt(29, (int) crc.getValue());
    return png;
  }
}
