package io.epidote.engine.image;

import static java.util.Objects.requireNonNull;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.TooLarge;
import java.awt.image.BufferedImage;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;
import javax.imageio.ImageReadParam;
import javax.imageio.ImageReader;
import javax.imageio.spi.ImageReaderSpi;
import javax.imageio.stream.ImageInputStream;

/**
 * Reads pictures that come from anyone. Size is judged by the header before pixels are allocated.
 * ImageIO's readers were not written for hostile files and may throw anything at all: whatever they
 * throw is the file's fault and told as such.
 */
final class PictureReader {
  /** Readers warn of these and go on with grey or black where the picture ends. */
  private static final Pattern TRUNCATION =
      Pattern.compile("premature|truncat|missing eoi|unexpected end|end of (file|stream|data)");

  private final ImageLimits limits;
  private final Map<ImageFormat, ImageReaderSpi> readers;

  PictureReader(ImageLimits limits) {
    this.limits = limits;
    // A cache would be a temporary file for every request.
    ImageIO.setUseCache(false);
    this.readers = new EnumMap<>(ImageFormat.class);
    for (ImageFormat format : ImageFormat.values()) {
      Iterator<ImageReader> found = ImageIO.getImageReadersByFormatName(format.readerName());
      if (!found.hasNext()) {
        throw new IllegalStateException("no reader of " + format.label() + " on the class path");
      }
      readers.put(format, found.next().getOriginatingProvider());
    }
  }

  /** Reads the header only. */
  ImageInfo probe(ByteBuffer file) {
    ImageFormat format = checkFile(file);
    return read(format, file, "header", (reader, _) -> header(format, reader, file));
  }

  /**
   * Reads the (first) picture.
   *
   * @param memory where there has to be room for it, and where it may stand
   * @param use what is made of the picture, which is gone afterwards
   */
  <T> T decode(ByteBuffer file, PixelMemory memory, Function<BufferedImage, T> use) {
    ImageFormat format = checkFile(file);
    checkWhole(format, file);
    try (PixelMemory.Room room = memory.open()) {
      return use.apply(
          read(
              format,
              file,
              "picture",
              (reader, warnings) -> {
                ImageInfo info = header(format, reader, file);
                room.await(info);
                BufferedImage image = reader.read(0, param(format, reader, info, room));
                failOnTruncation(warnings);
                return format == ImageFormat.GIF ? onScreen(reader, image, info) : image;
              }));
    }
  }

  /** Photographs are by far the largest pictures, and nearly all of one type. */
  private static ImageReadParam param(
      ImageFormat format, ImageReader reader, ImageInfo info, PixelMemory.Room room)
      throws IOException {
    ImageReadParam param = reader.getDefaultReadParam();
    if (format == ImageFormat.JPEG && RgbConverter.isPlain(reader.getImageTypes(0).next())) {
      param.setDestination(RgbConverter.plain(info.width(), info.height(), room));
    }
    return param;
  }

  /** Reads a GIF's frames in their order. */
  <T> T readGif(ByteBuffer file, Work<T> work) {
    checkFile(file);
    return read(
        ImageFormat.GIF,
        file,
        "animation",
        (reader, warnings) -> {
          header(ImageFormat.GIF, reader, file);
          return work.with(reader, warnings);
        });
  }

  /**
   * Refuses work on so many pictures of a size.
   *
   * @param pictures how many
   */
  void checkPixels(ImageInfo info, long pictures) {
    long pixels = (long) info.width() * info.height() * pictures;
    if (pixels > limits.maxPixels()) {
      throw new TooLarge(
          "the animation's frames of %d x %d pixels are too many; send fewer or smaller ones"
              .formatted(info.width(), info.height()));
    }
  }

  /**
   * @throws IOException when a reader warned that the picture ends early
   */
  static void failOnTruncation(List<String> warnings) throws IOException {
    for (String warning : warnings) {
      if (TRUNCATION.matcher(warning.toLowerCase(Locale.ROOT)).find()) {
        throw new IOException(warning);
      }
    }
  }

  private ImageFormat checkFile(ByteBuffer file) {
    if (!file.hasRemaining()) {
      throw new InvalidRequest(
          "the picture is empty (0 bytes); expected one of " + ImageFormat.labels());
    }
    if (file.remaining() > limits.maxBytes()) {
      throw new TooLarge(
          "the picture has %,d bytes, at most %,d are allowed; scale it down or compress it more"
              .formatted(file.remaining(), limits.maxBytes()));
    }
    Optional<ImageFormat> format = ImageFormat.of(file);
    return format.orElseThrow(() ->
        new InvalidRequest(
            "the media is not a picture of a supported format: %s; supported: %s"
                .formatted(ImageFormat.describe(file), ImageFormat.labels())));
  }

  private ImageInfo header(ImageFormat format, ImageReader reader, ByteBuffer file)
      throws IOException {
    int width = reader.getWidth(0);
    int height = reader.getHeight(0);
    checkSize(width, height);
    if (format == ImageFormat.GIF) {
      // The picture is the screen; the first frame may cover a part of it.
      ByteBuffer bytes = file.duplicate().order(ByteOrder.LITTLE_ENDIAN);
      width = Math.max(width, Short.toUnsignedInt(bytes.getShort(file.position() + 6)));
      height = Math.max(height, Short.toUnsignedInt(bytes.getShort(file.position() + 8)));
      checkSize(width, height);
    }
    return new ImageInfo(format.label(), width, height);
  }

  private void checkSize(int width, int height) throws IOException {
    if (width <= 0 || height <= 0) {
      throw new IOException("the size is %d x %d".formatted(width, height));
    }
    long pixels = (long) width * height;
    if (pixels > limits.maxPixels() || Math.max(width, height) > limits.maxEdge()) {
      throw new TooLarge(
          "the picture has %d x %d = %,d pixels, at most %,d and edges of %,d are allowed; scale it down"
              .formatted(width, height, pixels, limits.maxPixels(), limits.maxEdge()));
    }
  }

  /** Containers that say how long they are; their readers do not all look. */
  private static void checkWhole(ImageFormat format, ByteBuffer file) {
    if (format == ImageFormat.WEBP) {
      long said =
          8L
              + Integer.toUnsignedLong(
                  file.duplicate()
                      .order(ByteOrder.LITTLE_ENDIAN)
                      .getInt(file.position() + Integer.BYTES));
      if (said > file.remaining()) {
        throw new InvalidRequest(
            "the WebP picture is truncated: it has %d of %d bytes; send the whole file"
                .formatted(file.remaining(), said));
      }
    }
  }

  private static BufferedImage onScreen(ImageReader reader, BufferedImage frame, ImageInfo info)
      throws IOException {
    if (frame.getWidth() == info.width() && frame.getHeight() == info.height()) {
      return frame;
    }
    GifFrame place = GifFrame.of(reader, 0);
    int left = place.left();
    int top = place.top();
    BufferedImage screen =
        new BufferedImage(info.width(), info.height(), BufferedImage.TYPE_INT_ARGB);
    int width = Math.min(frame.getWidth(), info.width() - left);
    for (int y = 0; y < Math.min(frame.getHeight(), info.height() - top); y++) {
      int[] row = frame.getRGB(0, y, width, 1, null, 0, width);
      screen.setRGB(left, top + y, width, 1, row, 0, width);
    }
    return screen;
  }

  /** What is done with an open reader. */
  interface Work<T> {
    T with(ImageReader reader, List<String> warnings) throws IOException;
  }

  private <T> T read(ImageFormat format, ByteBuffer file, String what, Work<T> work) {
    ImageReader reader = null;
    DecodeDeadline deadline = new DecodeDeadline(limits.maxDecode());
    try (ImageInputStream stream = new FileStream(stream(file), deadline)) {
      reader = requireNonNull(readers.get(format)).createReaderInstance();
      List<String> warnings = new ArrayList<>();
      reader.addIIOReadWarningListener((_, warning) -> warnings.add(warning));
      reader.setInput(stream, true, format != ImageFormat.GIF);
      reader.addIIOReadProgressListener(deadline);
      T made = work.with(reader, warnings);
      deadline.check();
      return made;
    } catch (InvalidRequest | TooLarge e) {
      throw e;
    } catch (IOException
        | RuntimeException
        | OutOfMemoryError
        | StackOverflowError
        | AssertionError e) {
      deadline.check();
      throw new InvalidRequest(
          "the %s %s cannot be read (%s); it is truncated or damaged: send the whole file"
              .formatted(
                  format.label() + (what.equals("header") ? " picture's" : ""), what, reason(e)),
          e);
    } finally {
      if (reader != null) {
        reader.dispose();
      }
    }
  }

  private static String reason(Throwable error) {
    String message = error.getMessage();
    return message == null || message.isBlank() ? error.getClass().getSimpleName() : message;
  }

  private static ByteArrayInputStream stream(ByteBuffer file) {
    if (file.hasArray()) {
      return new ByteArrayInputStream(
          file.array(), file.arrayOffset() + file.position(), file.remaining());
    }
    byte[] bytes = new byte[file.remaining()];
    file.get(file.position(), bytes);
    return new ByteArrayInputStream(bytes);
  }
}
