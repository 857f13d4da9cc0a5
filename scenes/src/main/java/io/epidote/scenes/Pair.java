package io.epidote.scenes;

import java.util.Set;

/** A color with a shape, such as "red circle". */
public record Pair(ShapeColor color, ShapeKind kind) {
  /**
   * Pairs that no training picture shows and no training question names, so that accuracy on them
   * measures whether the model composes color and shape instead of remembering pairs.
   */
  public static final Set<Pair> WITHHELD =
      Set.of(
          new Pair(ShapeColor.PURPLE, ShapeKind.TRIANGLE),
          new Pair(ShapeColor.GREEN, ShapeKind.RING));

  /** For instance "red circle". */
  public String words() {
    return color.word() + " " + kind.word();
  }

  /** For instance "an orange circle". */
  public String withArticle() {
    return (color == ShapeColor.ORANGE ? "an " : "a ") + words();
  }
}
