package io.epidote.engine.image;

import java.time.Duration;

/**
 * How large a picture may be; what is larger is refused before it is decoded.
 *
 * @param maxBytes of the file
 * @param maxPixels width times height, whatever the file's size
 * @param maxEdge width or height, pixels
 * @param maxDecode time that a file may take to be decoded
 */
public record ImageLimits(int maxBytes, long maxPixels, int maxEdge, Duration maxDecode) {
  private static final Duration LONGEST = Duration.ofSeconds(20);

  public ImageLimits(int maxBytes, long maxPixels, int maxEdge) {
    this(maxBytes, maxPixels, maxEdge, LONGEST);
  }

  public ImageLimits {
    if (maxBytes <= 0 || maxPixels <= 0 || maxEdge <= 0) {
      throw new IllegalArgumentException(
          "limits must be above 0: %d bytes, %d pixels, edge %d"
              .formatted(maxBytes, maxPixels, maxEdge));
    }
  }

  /** 20 MiB, 64 million pixels, edges of 16,384 pixels, 20 s. */
  public static ImageLimits defaults() {
    return new ImageLimits(20 << 20, 64_000_000, 16_384);
  }
}
