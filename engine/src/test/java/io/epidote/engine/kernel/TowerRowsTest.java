package io.epidote.engine.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.lang.foreign.Arena;
import java.util.SplittableRandom;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The rows of a vision tower against the definitions in double precision. */
final class TowerRowsTest {
  private static final long F = Float.BYTES;

  private static final Arena ARENA = Arena.ofAuto();

  @ParameterizedTest
  @ValueSource(ints = {16, 72, 96, 100, 3072})
  void activationsAreTheirDefinitions(int width) {
    long x = floats(width, 3, 12);
    long bias = floats(width, 4, 0.5);
    long result = floats(width, 5, 1);
    TowerRows.gelu(x, bias, width, result);
    assertActivation(x, bias, width, result, y -> y / 2 * (1 + erf(y / Math.sqrt(2))));
    TowerRows.gate(x, bias, 1.5957691216f, 0.0713548163f, width, result);
    assertActivation(
        x,
        bias,
        width,
        result,
        y -> y / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (y + 0.044715 * y * y * y))));
    TowerRows.gate(x, bias, 1.702f, 0, width, result);
    assertActivation(x, bias, width, result, y -> y / (1 + Math.exp(-1.702 * y)));
    TowerRows.relu(x, bias, width, result);
    assertActivation(x, bias, width, result, y -> Math.max(y, 0));
  }

  private static void assertActivation(
      long x, long bias, int width, long result, DoubleUnaryOperator definition) {
    for (int i = 0; i < width; i++) {
      double expected =
          definition.applyAsDouble((double) Memory.get(x + i * F) + Memory.get(bias + i * F));
      assertThat((double) Memory.get(result + i * F))
          .as("of %s", Memory.get(x + i * F) + Memory.get(bias + i * F))
          .isCloseTo(expected, within(1e-6 * Math.max(1, Math.abs(expected))));
    }
  }

  /** By its series, or as good as 1. */
  private static double erf(double x) {
    if (Math.abs(x) > 5) {
      return Math.signum(x);
    }
    double term = x;
    double sum = x;
    for (int n = 1; n < 200; n++) {
      term *= -x * x / n;
      sum += term / (2 * n + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }

  /** With a mean that is large beside the spread, too, as towers have it. */
  @ParameterizedTest
  @ValueSource(ints = {8, 72, 100, 768, 1152})
  void normIsItsDefinition(int width) {
    long x = floats(width, 1, 3);
    long delta = floats(width, 2, 100);
    long bias = floats(width, 3, 1);
    long weight = floats(width, 4, 2);
    long normBias = floats(width, 5, 1);
    long sum = floats(width, 6, 1);
    long normed = floats(width, 7, 1);
    TowerRows.add(x, delta, bias, width, sum);
    TowerRows.norm(sum, weight, normBias, 1e-6f, width, normed);
    double mean = 0;
    for (int i = 0; i < width; i++) {
      double expected =
          (double) Memory.get(x + i * F) + Memory.get(delta + i * F) + Memory.get(bias + i * F);
      assertThat((double) Memory.get(sum + i * F)).isCloseTo(expected, within(1e-5 * 100));
      mean += (double) Memory.get(sum + i * F) / width;
    }
    double variance = 0;
    for (int i = 0; i < width; i++) {
      variance += Math.pow(Memory.get(sum + i * F) - mean, 2) / width;
    }
    for (int i = 0; i < width; i++) {
      double expected =
          (Memory.get(sum + i * F) - mean) / Math.sqrt(variance + 1e-6) * Memory.get(weight + i * F)
              + Memory.get(normBias + i * F);
      assertThat((double) Memory.get(normed + i * F)).isCloseTo(expected, within(1e-5));
    }
  }

  @Test
  void powersOfTwoAreTheirDefinition() {
    for (int count : new int[] {1, 16, 17, 100, 1024}) {
      long row = floats(TileScratch.stride(count), count, 40);
      double[] scores = new double[count];
      double largest = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < count; i++) {
        scores[i] = Memory.get(row + i * F);
        largest = Math.max(largest, scores[i]);
      }
      TileRows.fill(row, count);
      int stride = TileScratch.stride(count);
      assertThat((double) TileRows.largest(row, stride)).isEqualTo(largest);
      double sum = TileRows.powersOfTwo(row, stride, (float) largest);
      double expectedSum = 0;
      for (int i = 0; i < count; i++) {
        double expected = Math.pow(2, scores[i] - largest);
        expectedSum += expected;
        assertThat((double) Memory.get(row + i * F)).isCloseTo(expected, within(1e-5 * expected));
      }
      assertThat(sum).isCloseTo(expectedSum, within(1e-5 * expectedSum));
    }
  }

  /** Random numbers up to a magnitude. */
  private static long floats(int count, long seed, double magnitude) {
    SplittableRandom random = new SplittableRandom(seed);
    long address = ARENA.allocate(count * F, 64).address();
    for (int i = 0; i < count; i++) {
      Memory.put(address + i * F, (float) random.nextDouble(-magnitude, magnitude));
    }
    return address;
  }
}
