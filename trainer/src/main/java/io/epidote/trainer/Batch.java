package io.epidote.trainer;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Samples as the plain arrays of one forward pass.
 *
 * @param tileCount tiles
 * @param tiles [tiles, 3, 64, 64]
 * @param labels [tiles, 64, {@link Labels#CLASSES}]
 * @param rows samples; 0 when only the tower is trained
 * @param length tokens of the longest sample
 * @param ids [rows, length]; vocabulary + i stands for media token i
 * @param cos [rows, length, headDim / 2]
 * @param sin the same form
 * @param mask [rows, length, length], added to the scores
 * @param selected positions in rows * length whose next token belongs to an answer
 * @param targets that token
 * @param pairOf index into pairs of each selected position
 * @param pairs all pairs
 */
record Batch(
    int tileCount,
    float[] tiles,
    float[] labels,
    int rows,
    int length,
    long[] ids,
    float[] cos,
    float[] sin,
    float[] mask,
    long[] selected,
    long[] targets,
    int[] pairOf,
    List<Sample.Pair> pairs) {
  private static final float HIDDEN = -1e9f;

  /** Tiles with labels only, for training the tower. */
  static Batch tower(List<float[]> tiles, List<float[]> labels) {
    return new Batch(
        tiles.size(),
        flat(tiles),
        flat(labels),
        0,
        0,
        new long[0],
        new float[0],
        new float[0],
        new float[0],
        new long[0],
        new long[0],
        new int[0],
        List.of());
  }

  static Batch of(ModelConfig config, List<Sample> samples) {
    int rows = samples.size();
    int length = samples.stream().mapToInt(Sample::length).max().orElseThrow();
    int half = config.headDim() / 2;
    long[] ids = new long[rows * length];
    float[] cos = new float[rows * length * half];
    float[] sin = new float[rows * length * half];
    float[] mask = new float[rows * length * length];
    Arrays.fill(mask, HIDDEN);
    List<float[]> tiles = new ArrayList<>();
    List<float[]> labels = new ArrayList<>();
    List<Long> selected = new ArrayList<>();
    List<Long> targets = new ArrayList<>();
    List<Integer> pairOf = new ArrayList<>();
    List<Sample.Pair> pairs = new ArrayList<>();
    int media = config.vocabulary();
    for (int r = 0; r < rows; r++) {
      Sample sample = samples.get(r);
      tiles.addAll(sample.tiles());
      labels.addAll(sample.labels());
      int prefix = sample.prefix().length;
      for (int i = 0; i < prefix; i++) {
        int id = sample.prefix()[i];
        ids[r * length + i] = id == Vocabulary.IMAGE ? media++ : id;
        rotate(cos, sin, (r * length + i) * half, half, i);
        see(mask, (r * length + i) * length, 0, i + 1);
      }
      int at = prefix;
      for (Sample.Pair pair : sample.pairs()) {
        for (int i = 0; i < pair.ids().length; i++) {
          int index = r * length + at + i;
          ids[index] = pair.ids()[i];
          rotate(cos, sin, index * half, half, prefix + i);
          see(mask, index * length, 0, prefix);
          see(mask, index * length, at, at + i + 1);
          if (i + 1 < pair.ids().length && i + 1 >= pair.answerFrom()) {
            selected.add((long) index);
            targets.add((long) pair.ids()[i + 1]);
            pairOf.add(pairs.size());
          }
        }
        pairs.add(pair);
        at += pair.ids().length;
      }
    }
    return new Batch(
        tiles.size(),
        flat(tiles),
        flat(labels),
        rows,
        length,
        ids,
        cos,
        sin,
        mask,
        selected.stream().mapToLong(Long::longValue).toArray(),
        targets.stream().mapToLong(Long::longValue).toArray(),
        pairOf.stream().mapToInt(Integer::intValue).toArray(),
        pairs);
  }

  private static void see(float[] mask, int row, int from, int to) {
    Arrays.fill(mask, row + from, row + to, 0);
  }

  static void rotate(float[] cos, float[] sin, int at, int half, int position) {
    for (int i = 0; i < half; i++) {
      double angle = position * Math.pow(ModelConfig.ROPE_THETA, -(double) i / half);
      cos[at + i] = (float) Math.cos(angle);
      sin[at + i] = (float) Math.sin(angle);
    }
  }

  /** The parts behind one another. */
  static float[] flat(List<float[]> parts) {
    float[] out = new float[parts.stream().mapToInt(p -> p.length).sum()];
    int at = 0;
    for (float[] part : parts) {
      System.arraycopy(part, 0, out, at, part.length);
      at += part.length;
    }
    return out;
  }
}
