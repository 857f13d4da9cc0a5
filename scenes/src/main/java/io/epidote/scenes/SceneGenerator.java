package io.epidote.scenes;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * Draws random scenes of one split from a seed. Not safe for several threads: give each its own.
 */
public final class SceneGenerator {
  /** Edge of a picture that is one tile, pixels. */
  public static final int SMALL = 64;

  /** Edge of a large picture, pixels. */
  public static final int LARGE = 128;

  /** Most shapes in one scene. */
  public static final int MAX_SHAPES = 4;

  private final Split split;
  private final boolean withheldPairs;
  private final SplittableRandom random;

  /**
   * A generator of one split.
   *
   * @param split the layouts to draw
   * @param withheldPairs whether {@link Pair#WITHHELD} pairs may appear; training must say no
   * @param seed same seed, same scenes
   */
  public SceneGenerator(Split split, boolean withheldPairs, long seed) {
    this.split = split;
    this.withheldPairs = withheldPairs;
    this.random = new SplittableRandom(mix(seed) ^ split.ordinal());
  }

  /**
   * MurmurHash3's finalizer. Without it, seeds that differ by a multiple of SplittableRandom's
   * increment would give the same stream, only shifted.
   */
  private static long mix(long seed) {
    long z = (seed ^ (seed >>> 33)) * 0xff51afd7ed558ccdL;
    z = (z ^ (z >>> 33)) * 0xc4ceb9fe1a85ec53L;
    return z ^ (z >>> 33);
  }

  /** The random stream behind the scenes, for questions about them. */
  public SplittableRandom random() {
    return random;
  }

  /** A scene of one to four shapes. */
  public Scene next(int width, int height) {
    return next(width, height, null, null);
  }

  /**
   * A scene with a pair that must or must not be in it.
   *
   * @param required a pair to show, or null
   * @param forbidden a pair not to show, or null; half of the time the scene has its color or its
   *     kind
   */
  public Scene next(int width, int height, @Nullable Pair required, @Nullable Pair forbidden) {
    while (true) {
      // More shapes are harder and carry more words: draw them more often.
      int draw = random.nextInt(10);
      int count = draw < 2 ? 1 : draw < 4 ? 2 : draw < 7 ? 3 : 4;
      List<Pair> pairs = new ArrayList<>();
      if (required != null) {
        pairs.add(required);
      } else if (forbidden != null && random.nextBoolean()) {
        pairs.add(
            random.nextBoolean()
                ? new Pair(forbidden.color(), any(ShapeKind.values()))
                : new Pair(any(ShapeColor.values()), forbidden.kind()));
      }
      while (pairs.size() < count) {
        pairs.add(pair());
      }
      if (pairs.contains(forbidden)
          || (!withheldPairs && pairs.stream().anyMatch(Pair.WITHHELD::contains))) {
        continue;
      }
      Scene scene = place(width, height, pairs);
      if (Split.of(scene) == split) {
        return scene;
      }
    }
  }

  /** A random pair, of those that this generator may use. */
  public Pair pair() {
    while (true) {
      Pair pair = new Pair(any(ShapeColor.values()), any(ShapeKind.values()));
      if (allows(pair)) {
        return pair;
      }
    }
  }

  /** Whether scenes and questions of this generator may have the pair. */
  boolean allows(Pair pair) {
    return withheldPairs || !Pair.WITHHELD.contains(pair);
  }

  private Scene place(int width, int height, List<Pair> pairs) {
    List<Cell> free = new ArrayList<>(List.of(Cell.values()));
    double cellWidth = width / 3.0;
    double cellHeight = height / 3.0;
    double edge = Math.min(cellWidth, cellHeight);
    List<PlacedShape> shapes = new ArrayList<>();
    for (Pair pair : pairs) {
      Cell cell = free.remove(random.nextInt(free.size()));
      double size = edge * between(0.66, 0.92);
      double slackX = Math.max(0, (cellWidth - size) / 2);
      double slackY = Math.max(0, (cellHeight - size) / 2);
      // A wide cell has much slack: three quarters of it keep a shape well inside its place.
      double x = (cell.column() + 0.5) * cellWidth + between(-0.75, 0.75) * slackX;
      double y = (cell.row() + 0.5) * cellHeight + between(-0.75, 0.75) * slackY;
      shapes.add(
          new PlacedShape(pair, cell, x, y, size, between(-0.12, 0.12), shade(pair.color())));
    }
    int gray = 30 + random.nextInt(211);
    Ground ground =
        new Ground(
            gray + random.nextInt(-12, 13),
            gray + random.nextInt(-12, 13),
            gray + random.nextInt(-12, 13),
            between(-25, 25),
            between(-25, 25),
            Math.max(0, between(-2, 8)),
            random.nextLong());
    return new Scene(width, height, shapes, ground);
  }

  private int shade(ShapeColor color) {
    int rgb = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
      int channel = (color.rgb() >> shift & 255) + random.nextInt(-14, 15);
      rgb |= Math.clamp(channel, 0, 255) << shift;
    }
    return rgb;
  }

  private double between(double low, double high) {
    return low + random.nextDouble() * (high - low);
  }

  private <T> T any(T[] values) {
    return values[random.nextInt(values.length)];
  }
}
