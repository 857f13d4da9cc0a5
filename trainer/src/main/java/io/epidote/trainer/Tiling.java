package io.epidote.trainer;

import com.twelvemonkeys.image.ResampleOp;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.util.ArrayList;
import java.util.List;

/**
 * A picture as tiles by the Idefics3 rule: shrink to the longest edge, round both edges up to whole
 * tiles, cut, and add the whole picture as an overview when there is more than one tile.
 *
 * @param rows rows of the grid
 * @param columns columns of the grid
 * @param tiles the tiles in reading order, then the overview when there is more than one; each [3,
 *     64, 64], -1 to 1
 */
record Tiling(int rows, int columns, List<float[]> tiles) {
  /** Longest edge before cutting, pixels. */
  static final int LONGEST_EDGE = 128;

  private static final int T = ModelConfig.TILE;

  static Tiling of(BufferedImage picture) {
    int width = picture.getWidth();
    int height = picture.getHeight();
    int longest = Math.max(width, height);
    BufferedImage scaled = picture;
    if (longest > LONGEST_EDGE) {
      double ratio = LONGEST_EDGE / (double) longest;
      scaled =
          resize(
              picture,
              Math.max(1, (int) Math.round(width * ratio)),
              Math.max(1, (int) Math.round(height * ratio)));
    }
    double aspect = scaled.getWidth() / (double) scaled.getHeight();
    int w;
    int h;
    if (scaled.getWidth() >= scaled.getHeight()) {
      w = whole(scaled.getWidth());
      h = whole((int) (w / aspect));
    } else {
      h = whole(scaled.getHeight());
      w = whole((int) (h * aspect));
    }
    BufferedImage grid = resize(scaled, w, h);
    List<float[]> tiles = new ArrayList<>();
    for (int y = 0; y < h; y += T) {
      for (int x = 0; x < w; x += T) {
        tiles.add(pixels(grid, x, y));
      }
    }
    if (tiles.size() > 1) {
      tiles.add(pixels(resize(grid, T, T), 0, 0));
    }
    return new Tiling(h / T, w / T, tiles);
  }

  /** The token ids that {@code <image>} expands to. */
  List<Integer> expansion() {
    List<Integer> ids = new ArrayList<>();
    if (tiles.size() > 1) {
      for (int row = 1; row <= rows; row++) {
        for (int column = 1; column <= columns; column++) {
          ids.add(Vocabulary.FAKE);
          ids.add(Vocabulary.tile(row, column));
          media(ids);
        }
        ids.add(Vocabulary.NEWLINE);
      }
      ids.add(Vocabulary.NEWLINE);
    }
    ids.add(Vocabulary.FAKE);
    ids.add(Vocabulary.GLOBAL);
    media(ids);
    ids.add(Vocabulary.FAKE);
    return ids;
  }

  private static void media(List<Integer> ids) {
    for (int i = 0; i < ModelConfig.TILE_TOKENS; i++) {
      ids.add(Vocabulary.IMAGE);
    }
  }

  private static int whole(int edge) {
    return Math.max(1, (edge + T - 1) / T) * T;
  }

  private static BufferedImage resize(BufferedImage picture, int width, int height) {
    if (picture.getWidth() == width && picture.getHeight() == height) {
      return picture;
    }
    BufferedImage source =
        new BufferedImage(picture.getWidth(), picture.getHeight(), BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = source.createGraphics();
    graphics.drawImage(picture, 0, 0, null);
    graphics.dispose();
    return new ResampleOp(width, height, ResampleOp.FILTER_LANCZOS).filter(source, null);
  }

  private static float[] pixels(BufferedImage picture, int left, int top) {
    int[] rgb = picture.getRGB(left, top, T, T, null, 0, T);
    float[] out = new float[3 * T * T];
    for (int i = 0; i < T * T; i++) {
      for (int channel = 0; channel < 3; channel++) {
        out[channel * T * T + i] = ((rgb[i] >> (16 - 8 * channel) & 255) / 255f - 0.5f) / 0.5f;
      }
    }
    return out;
  }
}
