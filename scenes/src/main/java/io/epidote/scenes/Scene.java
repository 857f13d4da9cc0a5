package io.epidote.scenes;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Graphics2D;
import java.awt.RenderingHints;
import java.awt.geom.AffineTransform;
import java.awt.geom.Area;
import java.awt.geom.Ellipse2D;
import java.awt.geom.Path2D;
import java.awt.geom.Rectangle2D;
import java.awt.image.BufferedImage;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Collectors;

/**
 * What a picture shows, enough to draw it and to answer every question about it.
 *
 * @param width pixels
 * @param height pixels
 * @param shapes in reading order of their cells; no cell twice
 * @param ground what is behind them
 */
public record Scene(int width, int height, List<PlacedShape> shapes, Ground ground) {
  /** Sorts the shapes in reading order. */
  public Scene {
    shapes = shapes.stream().sorted(Comparator.comparing(PlacedShape::cell)).toList();
    if (shapes.stream().map(PlacedShape::cell).distinct().count() != shapes.size()) {
      throw new IllegalArgumentException("two shapes share a cell: " + shapes);
    }
  }

  /** For instance "a red circle, a blue square": the shapes in reading order. */
  public String description() {
    return shapes.stream().map(s -> s.pair().withArticle()).collect(Collectors.joining(", "));
  }

  /** Whether the scene shows the pair. */
  public boolean shows(Pair pair) {
    return shapes.stream().anyMatch(s -> s.pair().equals(pair));
  }

  /**
   * Which cell holds which pair, as one string: equal for two scenes with the same answers to every
   * question.
   */
  public String layout() {
    return shapes.stream()
        .map(s -> s.cell() + ":" + s.color() + ":" + s.kind())
        .collect(Collectors.joining(" "));
  }

  /** Draws the scene, the same pixels every time; {@link BufferedImage#TYPE_INT_RGB}. */
  public BufferedImage draw() {
    BufferedImage picture = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        double slope =
            ground.slopeX() * (x / (double) width - 0.5)
                + ground.slopeY() * (y / (double) height - 0.5);
        picture.setRGB(
            x, y, rgb(ground.red() + slope, ground.green() + slope, ground.blue() + slope));
      }
    }
    Graphics2D graphics = picture.createGraphics();
    graphics.setRenderingHint(RenderingHints.KEY_ANTIALIASING, RenderingHints.VALUE_ANTIALIAS_ON);
    graphics.setRenderingHint(RenderingHints.KEY_STROKE_CONTROL, RenderingHints.VALUE_STROKE_PURE);
    for (PlacedShape shape : shapes) {
      graphics.setColor(new Color(shape.rgb()));
      graphics.fill(outline(shape));
    }
    graphics.dispose();
    if (ground.noise() > 0) {
      addNoise(picture);
    }
    return picture;
  }

  private void addNoise(BufferedImage picture) {
    SplittableRandom random = new SplittableRandom(ground.noiseSeed());
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        int c = picture.getRGB(x, y);
        picture.setRGB(
            x,
            y,
            rgb(
                (c >> 16 & 255) + noise(random),
                (c >> 8 & 255) + noise(random),
                (c & 255) + noise(random)));
      }
    }
  }

  /** Sum of three uniform draws: near enough to a Gaussian and four times faster. */
  private double noise(SplittableRandom random) {
    long bits = random.nextLong();
    double sum = (bits & 0xFFFF) + (bits >>> 16 & 0xFFFF) + (bits >>> 32 & 0xFFFF);
    return (sum / 65536.0 - 1.5) * 2 * ground.noise();
  }

  private static java.awt.Shape outline(PlacedShape shape) {
    double s = shape.size();
    double h = s / 2;
    java.awt.Shape outline =
        switch (shape.kind()) {
          case CIRCLE -> new Ellipse2D.Double(-h, -h, s, s);
          case SQUARE -> new Rectangle2D.Double(-0.45 * s, -0.45 * s, 0.9 * s, 0.9 * s);
          case TRIANGLE -> {
            Path2D path = new Path2D.Double();
            path.moveTo(0, -h);
            path.lineTo(h, 0.45 * s);
            path.lineTo(-h, 0.45 * s);
            path.closePath();
            yield path;
          }
          case CROSS -> {
            Area cross = new Area(new Rectangle2D.Double(-h, -0.15 * s, s, 0.3 * s));
            cross.add(new Area(new Rectangle2D.Double(-0.15 * s, -h, 0.3 * s, s)));
            yield cross;
          }
          case RING ->
              new BasicStroke((float) (0.2 * s))
                  .createStrokedShape(new Ellipse2D.Double(-0.4 * s, -0.4 * s, 0.8 * s, 0.8 * s));
        };
    AffineTransform place = AffineTransform.getTranslateInstance(shape.x(), shape.y());
    place.rotate(shape.angle());
    return place.createTransformedShape(outline);
  }

  private static int rgb(double red, double green, double blue) {
    return clamp(red) << 16 | clamp(green) << 8 | clamp(blue);
  }

  private static int clamp(double channel) {
    return (int) Math.max(0, Math.min(255, Math.round(channel)));
  }
}
