package io.epidote.cli.load;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.zip.CRC32;
import javax.imageio.ImageIO;

/**
 * Pictures that no cache has seen. A few of each size are really drawn and encoded as JPEG; every
 * picture is a copy of one of them with a comment of its own, so that its bytes are new and making
 * it costs nearly nothing. Used by one thread.
 */
public final class PictureFiles {
  /** Width and height in pixels. */
  public record Size(int width, int height) {
    /**
     * Reads {@code 1280x720}.
     *
     * @throws InvalidRequest when it is no size
     */
    public static Size parse(String text) {
      String[] sides = text.strip().split("[x×]", 2);
      try {
        Size size = new Size(Integer.parseInt(sides[0]), Integer.parseInt(sides[1]));
        if (size.width > 0 && size.height > 0 && (long) size.width * size.height <= 1 << 28) {
          return size;
        }
      } catch (NumberFormatException | ArrayIndexOutOfBoundsException e) {
        // Said below.
      }
      throw new InvalidRequest(
          "\"%s\" is no size of a picture; expected width and height such as 1280x720"
              .formatted(text));
    }

    @Override
    public String toString() {
      return width + "x" + height;
    }
  }

  private static final int DRAWN = 4;
  private static final int MARKER = 32;
  private static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  private static final byte[] RGB = {8, 2, 0, 0, 0};

  private final SplittableRandom random;
  private final boolean headersOnly;
  private final Map<Size, List<byte[]>> drawn = new HashMap<>();

  /**
   * @param headersOnly pictures of a hundred bytes, for emulated devices that decode none
   */
  PictureFiles(long seed, boolean headersOnly) {
    this.random = new SplittableRandom(seed);
    this.headersOnly = headersOnly;
  }

  /** A new picture's file. */
  byte[] next(Size size) {
    if (headersOnly) {
      return header(size.width, size.height, random);
    }
    List<byte[]> files = drawn.computeIfAbsent(size, this::draw);
    return marked(files.get(random.nextInt(files.size())));
  }

  /** The file with a comment segment (JPEG's COM) behind its first marker. */
  private byte[] marked(byte[] file) {
    byte[] noise = new byte[MARKER];
    random.nextBytes(noise);
    return ByteBuffer.allocate(file.length + 4 + MARKER)
        .put(file, 0, 2)
        .putShort((short) 0xFFFE)
        .putShort((short) (2 + MARKER))
        .put(noise)
        .put(file, 2, file.length - 2)
        .array();
  }

  private List<byte[]> draw(Size size) {
    List<byte[]> files = new ArrayList<>();
    for (int i = 0; i < DRAWN; i++) {
      BufferedImage picture =
          new BufferedImage(size.width, size.height, BufferedImage.TYPE_INT_RGB);
      Graphics2D graphics = picture.createGraphics();
      for (int shape = 0; shape < 24; shape++) {
        graphics.setColor(new Color(random.nextInt(1 << 24)));
        graphics.fillRect(
            random.nextInt(size.width),
            random.nextInt(size.height),
            1 + random.nextInt(1 + size.width / 2),
            1 + random.nextInt(1 + size.height / 2));
      }
      graphics.dispose();
      ByteArrayOutputStream file = new ByteArrayOutputStream();
      try {
        ImageIO.write(picture, "jpg", file);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      files.add(file.toByteArray());
    }
    return files;
  }

  /** A PNG whose header is right and whose pixels are not there. */
  public static byte[] header(int width, int height, SplittableRandom random) {
    byte[] noise = new byte[MARKER];
    random.nextBytes(noise);
    ByteBuffer file = ByteBuffer.allocate(128);
    file.put(SIGNATURE);
    chunk(file, "IHDR", ByteBuffer.allocate(13).putInt(width).putInt(height).put(RGB).array());
    chunk(file, "IDAT", noise);
    chunk(file, "IEND", new byte[0]);
    byte[] bytes = new byte[file.position()];
    file.flip().get(bytes);
    return bytes;
  }

  private static void chunk(ByteBuffer file, String type, byte[] data) {
    byte[] name = type.getBytes(StandardCharsets.US_ASCII);
    CRC32 crc = new CRC32();
    crc.update(name);
    crc.update(data);
    file.putInt(data.length).put(name).put(data).putInt((int) crc.getValue());
  }
}
