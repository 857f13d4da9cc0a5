package io.epidote.scenes;

import java.util.Locale;

/**
 * The six colors of shapes, far enough apart that shading and noise never turn one into another.
 */
public enum ShapeColor {
  RED(0xD7232A),
  GREEN(0x28A541),
  BLUE(0x285AE1),
  YELLOW(0xFAE128),
  PURPLE(0x9632BE),
  ORANGE(0xFA8C14);

  private final int rgb;

  ShapeColor(int rgb) {
    this.rgb = rgb;
  }

  /** The color before shading, 0xRRGGBB. */
  public int rgb() {
    return rgb;
  }

  /** The lower-case English word. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }
}
