package io.epidote.scenes;

/**
 * One shape of a scene.
 *
 * @param pair its color and kind
 * @param cell the place it is said to stand in
 * @param x center, pixels from the left
 * @param y center, pixels from the top
 * @param size diameter or edge, pixels
 * @param angle turn in radians, small
 * @param rgb the shaded color that is drawn
 */
public record PlacedShape(
    Pair pair, Cell cell, double x, double y, double size, double angle, int rgb) {
  /** The color. */
  public ShapeColor color() {
    return pair.color();
  }

  /** The kind of shape. */
  public ShapeKind kind() {
    return pair.kind();
  }
}
