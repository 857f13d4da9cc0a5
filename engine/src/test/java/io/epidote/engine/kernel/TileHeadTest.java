package io.epidote.engine.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Attention of a head of a tile against its definition in double precision. */
final class TileHeadTest {
  private static final long F = Float.BYTES;

  private static final int HEADS = 2;

  /** With scores that differ by hundreds, too, where one key takes all. */
  @ParameterizedTest
  @CsvSource({
    "1, 64, 1",
    "5, 16, 1",
    "49, 64, 1",
    "257, 64, 1",
    "128, 72, 1",
    "577, 64, 1",
    "145, 72, 8",
    "50, 20, 8",
    "130, 88, 1",
    "49, 64, 1000"
  })
  void contextsAreTheDefinitions(int positions, int width, double magnitude) {
    try (Arena arena = Arena.ofConfined()) {
      int hidden = HEADS * width;
      SplittableRandom random = new SplittableRandom(positions);
      long qkv = floats(arena, random, positions * 3 * hidden, magnitude);
      long biases = floats(arena, random, 3 * hidden, magnitude / 2);
      long whole = floats(arena, random, positions * hidden, 1);
      long parts = floats(arena, random, positions * hidden, 1);
      TileScratch scratch = new TileScratch(arena, width);
      for (int head = 0; head < HEADS; head++) {
        long offset = head * width * F;
        new TileHead(qkv + offset, biases + offset, whole + offset, hidden, width, positions)
            .attend(scratch, 0, positions);
        TileHead cut =
            new TileHead(qkv + offset, biases + offset, parts + offset, hidden, width, positions);
        int third = positions / 3;
        cut.attend(scratch, third, positions);
        cut.attend(scratch, 0, third);
      }
      for (int i = 0; i < positions * hidden; i++) {
        assertThat(Memory.get(parts + i * F)).isEqualTo(Memory.get(whole + i * F));
      }
      for (int head = 0; head < HEADS; head++) {
        for (int query = 0; query < positions; query += Math.max(1, positions / 40)) {
          double[] expected = context(qkv, biases, positions, width, head, query);
          for (int i = 0; i < width; i++) {
            assertThat((double) Memory.get(whole + (query * hidden + head * width + i) * F))
                .isCloseTo(expected[i], within(2e-5 * magnitude * Math.max(1, magnitude)));
          }
        }
      }
    }
  }

  private static double[] context(
      long qkv, long biases, int positions, int width, int head, int query) {
    double[] scores = new double[positions];
    double largest = Double.NEGATIVE_INFINITY;
    for (int key = 0; key < positions; key++) {
      for (int i = 0; i < width; i++) {
        scores[key] +=
            element(qkv, biases, width, 0, head, query, i)
                * element(qkv, biases, width, 1, head, key, i)
                / Math.sqrt(width);
      }
      largest = Math.max(largest, scores[key]);
    }
    double sum = 0;
    double[] context = new double[width];
    for (int key = 0; key < positions; key++) {
      double share = Math.exp(scores[key] - largest);
      sum += share;
      for (int i = 0; i < width; i++) {
        context[i] += share * element(qkv, biases, width, 2, head, key, i);
      }
    }
    for (int i = 0; i < width; i++) {
      context[i] /= sum;
    }
    return context;
  }

  /**
   * @param part 0 for queries, 1 for keys, 2 for values
   */
  private static double element(
      long qkv, long biases, int width, int part, int head, int position, int i) {
    long at = (long) part * HEADS * width + head * width + i;
    return (double) Memory.get(qkv + (position * 3L * HEADS * width + at) * F)
        + Memory.get(biases + at * F);
  }

  private static long floats(Arena arena, SplittableRandom random, int count, double magnitude) {
    long address = arena.allocate(count * F, 64).address();
    for (int i = 0; i < count; i++) {
      Memory.put(address + i * F, (float) random.nextDouble(-magnitude, magnitude));
    }
    return address;
  }
}
