package io.epidote.engine.image;

import java.io.IOException;
import javax.imageio.ImageReader;
import javax.imageio.metadata.IIOMetadata;
import org.w3c.dom.Element;
import org.w3c.dom.Node;

/**
 * What a GIF says of one of its frames.
 *
 * @param left of the frame on the screen, pixels; likewise the others
 * @param seconds that it is shown
 * @param disposal what becomes of it then, in ImageIO's words
 */
record GifFrame(int left, int top, int width, int height, double seconds, String disposal) {
  /** What is not meant to be seen is shown for a tenth of a second, as browsers do. */
  private static final int SHORTEST = 2;

  private static final int INSTEAD = 10;

  static GifFrame of(ImageReader reader, int frame) throws IOException {
    IIOMetadata metadata = reader.getImageMetadata(frame);
    Node root = metadata.getAsTree(metadata.getNativeMetadataFormatName());
    int left = 0;
    int top = 0;
    int hundredths = 0;
    String disposal = "none";
    for (Node node = root.getFirstChild(); node != null; node = node.getNextSibling()) {
      if (!(node instanceof Element element)) {
        continue;
      }
      if (node.getNodeName().equals("ImageDescriptor")) {
        left = Integer.parseInt(element.getAttribute("imageLeftPosition"));
        top = Integer.parseInt(element.getAttribute("imageTopPosition"));
      } else if (node.getNodeName().equals("GraphicControlExtension")) {
        hundredths = Integer.parseInt(element.getAttribute("delayTime"));
        disposal = element.getAttribute("disposalMethod");
      }
    }
    return new GifFrame(
        left,
        top,
        reader.getWidth(frame),
        reader.getHeight(frame),
        (hundredths < SHORTEST ? INSTEAD : hundredths) / 100.0,
        disposal);
  }

  /** Whether what was there before comes back. */
  boolean restores() {
    return disposal.equals("restoreToPrevious");
  }

  /** Whether the frame's place becomes transparent. */
  boolean clears() {
    return disposal.equals("restoreToBackgroundColor");
  }
}
