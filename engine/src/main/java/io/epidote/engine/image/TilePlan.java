package io.epidote.engine.image;

/**
 * How a picture is cut.
 *
 * @param rows of tiles
 * @param columns of tiles
 * @param tileSize edge of a tile, pixels
 */
public record TilePlan(int rows, int columns, int tileSize) implements MediaPlan {
  /** Tiles that the picture becomes: the grid's and, when there are several, the overview. */
  @Override
  public int tiles() {
    return isGrid() ? rows * columns + 1 : 1;
  }

  /** Whether the picture becomes several tiles and an overview. */
  public boolean isGrid() {
    return rows * columns > 1;
  }
}
