package io.epidote.trainer;

import io.epidote.scenes.PlacedShape;
import io.epidote.scenes.Scene;
import io.epidote.scenes.ShapeColor;
import io.epidote.scenes.ShapeKind;
import java.util.ArrayList;
import java.util.List;

/**
 * What stands at each position of a tile: the auxiliary task that teaches the tower to see. Without
 * it the decoder learns the language of the answers first and hardly looks.
 */
final class Labels {
  /** Nothing or one of the colors. */
  static final int COLORS = 1 + ShapeColor.values().length;

  /** Nothing or one of the kinds. */
  static final int KINDS = 1 + ShapeKind.values().length;

  /** Logits of the auxiliary head: colors, then kinds. */
  static final int CLASSES = COLORS + KINDS;

  /** Most positions are empty: they count less. */
  private static final float EMPTY_WEIGHT = 0.2f;

  private Labels() {}

  /** Weighted one-hot labels per tile of the tiling, each [64, {@link #CLASSES}]. */
  static List<float[]> of(Scene scene, Tiling tiling) {
    List<float[]> labels = new ArrayList<>();
    int tiles = tiling.rows() * tiling.columns();
    if (tiles > 1) {
      for (int row = 0; row < tiling.rows(); row++) {
        for (int column = 0; column < tiling.columns(); column++) {
          labels.add(tile(scene, column * ModelConfig.TILE, row * ModelConfig.TILE, 1, 1));
        }
      }
    }
    labels.add(
        tile(
            scene,
            0,
            0,
            scene.width() / (double) ModelConfig.TILE,
            scene.height() / (double) ModelConfig.TILE));
    return labels;
  }

  private static float[] tile(Scene scene, int left, int top, double scaleX, double scaleY) {
    int grid = ModelConfig.GRID;
    float[] out = new float[grid * grid * CLASSES];
    for (int position = 0; position < grid * grid; position++) {
      double x = left + (position % grid + 0.5) * ModelConfig.PATCH * scaleX;
      double y = top + (position / grid + 0.5) * ModelConfig.PATCH * scaleY;
      int color = 0;
      int kind = 0;
      for (PlacedShape shape : scene.shapes()) {
        double reach = shape.size() * 0.5;
        if (Math.abs(x - shape.x()) < Math.max(reach, ModelConfig.PATCH * scaleX / 2)
            && Math.abs(y - shape.y()) < Math.max(reach, ModelConfig.PATCH * scaleY / 2)) {
          color = 1 + shape.color().ordinal();
          kind = 1 + shape.kind().ordinal();
        }
      }
      float weight = color == 0 ? EMPTY_WEIGHT : 1;
      out[position * CLASSES + color] = weight;
      out[position * CLASSES + COLORS + kind] = weight;
    }
    return out;
  }
}
