package io.epidote.engine.image;

import io.epidote.engine.error.EpidoteException.InvalidRequest;
import io.epidote.engine.error.EpidoteException.TooLarge;
import java.awt.AlphaComposite;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import javax.imageio.ImageReader;

/**
 * An animated GIF's frames.
 *
 * @param starts when each frame is shown, seconds from the start
 * @param duration seconds
 */
record Animation(List<Double> starts, double duration) {
  /** Frames of one file; more are no animation but an attack. */
  private static final int MAX_FRAMES = 10_000;

  /** Pixels that are drawn for one file, as a multiple of what one picture may have. */
  private static final int MAX_PICTURES = 16;

  int frames() {
    return starts.size();
  }

  /**
   * Reads the times of all frames, no pixels.
   *
   * @throws InvalidRequest when it is no GIF or damaged
   * @throws TooLarge when it has too many frames, or the picture is over a limit
   */
  static Animation probe(PictureReader pictures, ByteBuffer file) {
    return pictures.readGif(
        file,
        (reader, _) -> {
          List<Double> starts = new ArrayList<>();
          double end = 0;
          for (int i = 0; hasFrame(reader, i); i++) {
            if (i == MAX_FRAMES) {
              throw new TooLarge(
                  "the animation has more than %,d frames; send fewer".formatted(MAX_FRAMES));
            }
            starts.add(end);
            end += GifFrame.of(reader, i).seconds();
          }
          return new Animation(List.copyOf(starts), end);
        });
  }

  /**
   * Draws frames as they are seen.
   *
   * @param frames which, ascending
   * @param drawn gets each; the picture is changed afterwards
   */
  static void decode(
      PictureReader pictures,
      ByteBuffer file,
      List<Integer> frames,
      Consumer<BufferedImage> drawn) {
    ImageInfo info = pictures.probe(file);
    pictures.checkPixels(info, (frames.getLast() + 1L + MAX_PICTURES - 1) / MAX_PICTURES);
    pictures.readGif(
        file,
        (reader, warnings) -> {
          BufferedImage screen =
              new BufferedImage(info.width(), info.height(), BufferedImage.TYPE_INT_ARGB);
          for (int i = 0; i <= frames.getLast(); i++) {
            GifFrame frame = GifFrame.of(reader, i);
            BufferedImage before = frame.restores() ? copy(screen) : screen;
            draw(reader.read(i), frame, screen);
            PictureReader.failOnTruncation(warnings);
            if (frames.contains(i)) {
              drawn.accept(screen);
            }
            if (frame.restores()) {
              screen = before;
            } else if (frame.clears()) {
              clear(frame, screen);
            }
          }
          return info;
        });
  }

  private static boolean hasFrame(ImageReader reader, int frame) throws IOException {
    try {
      return reader.getWidth(frame) > 0;
    } catch (IndexOutOfBoundsException e) {
      return false;
    }
  }

  private static void draw(BufferedImage picture, GifFrame frame, BufferedImage screen) {
    Graphics2D graphics = screen.createGraphics();
    graphics.drawImage(picture, frame.left(), frame.top(), null);
    graphics.dispose();
  }

  private static void clear(GifFrame frame, BufferedImage screen) {
    Graphics2D graphics = screen.createGraphics();
    graphics.setComposite(AlphaComposite.Clear);
    graphics.fillRect(frame.left(), frame.top(), frame.width(), frame.height());
    graphics.dispose();
  }

  private static BufferedImage copy(BufferedImage image) {
    BufferedImage copy =
        new BufferedImage(image.getWidth(), image.getHeight(), BufferedImage.TYPE_INT_ARGB);
    copy.setData(image.getRaster());
    return copy;
  }
}
