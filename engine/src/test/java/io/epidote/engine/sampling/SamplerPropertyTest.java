package io.epidote.engine.sampling;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Set;
import java.util.SplittableRandom;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;

/** The sampler, which sorts as little as it can, against one that sorts everything. */
class SamplerPropertyTest {
  /** One for all rows, of different lengths: nothing of an earlier row may be left. */
  private static final Sampler SAMPLER = new Sampler();

  private static FloatBuffer nativeRow(float[] logits) {
    // Between other rows, as in the logits of a step.
    FloatBuffer rows =
        ByteBuffer.allocateDirect((logits.length + 2) * Float.BYTES)
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    rows.put(0, Float.POSITIVE_INFINITY).put(logits.length + 1, Float.POSITIVE_INFINITY);
    return rows.put(1, logits).slice(1, logits.length);
  }

  @Provide
  Arbitrary<float[]> rows() {
    Arbitrary<Float> ties = Arbitraries.of(0f, 1f, 2.5f, 2.5f, -3f, Float.NEGATIVE_INFINITY);
    Arbitrary<Float> near = Arbitraries.floats().between(19.99f, 20f);
    Arbitrary<Float> wide = Arbitraries.floats().between(-1e6f, 1e6f);
    Arbitrary<Float> usual = Arbitraries.floats().between(-12, 12);
    return Arbitraries.of(ties, near, wide, usual)
        .flatMap(values -> values.array(float[].class).ofMinSize(1).ofMaxSize(200))
        .map(SamplerPropertyTest::withLargest);
  }

  /** Something must be finite, and nothing -0. */
  private static float[] withLargest(float[] logits) {
    logits[logits.length / 2] = Math.max(logits[logits.length / 2], -3);
    for (int i = 0; i < logits.length; i++) {
      logits[i] += 0f;
    }
    return logits;
  }

  @Provide
  Arbitrary<SamplingOptions> options() {
    return Combinators.combine(
            Arbitraries.of(0f, 0.3f, 1f, 1f, 2f),
            Arbitraries.of(1f, 1f, 0.95f, 0.5f, 0.001f),
            Arbitraries.of(0, 0, 1, 7, 100, 1000),
            Arbitraries.longs(),
            Arbitraries.of(-1, -1, 0, 3, 20),
            Arbitraries.of(0f, 0f, 0.02f, 0.4f, 1f))
        .as((temperature, topP, topK, seed, logprobs, minP) ->
            new SamplingOptions(
                10,
                temperature,
                topP,
                topK,
                seed,
                false,
                logprobs,
                Penalties.NONE,
                0,
                Set.of(),
                minP,
                TokenRules.NONE));
  }

  @Property(tries = 3000)
  void choosesWhatSortingEverythingChooses(
      @ForAll("rows") float[] logits, @ForAll("options") SamplingOptions options) {
    SortingSampler reference = new SortingSampler(logits);
    FloatBuffer row = nativeRow(logits);
    for (int position = 0; position < 3; position++) {
      assertThat(SAMPLER.sample(row, options, position))
          .isEqualTo(reference.sample(options, position));
    }
  }

  @Example
  void choosesTheSameFromAWholeVocabulary() {
    SplittableRandom random = new SplittableRandom(11);
    for (float deviation : new float[] {0.01f, 1, 3, 30}) {
      float[] logits = new float[49_152];
      for (int i = 0; i < logits.length; i++) {
        logits[i] = 15 + deviation * (float) random.nextGaussian();
      }
      SortingSampler reference = new SortingSampler(logits);
      FloatBuffer row = nativeRow(logits);
      for (int topK : new int[] {0, 50}) {
        for (float topP : new float[] {1, 0.99f, 0.5f}) {
          SamplingOptions options = new SamplingOptions(10, 0.8f, topP, topK, 5, false, 20);
          assertThat(SAMPLER.sample(row, options, 17)).isEqualTo(reference.sample(options, 17));
        }
      }
    }
  }

  @Property(tries = 3000)
  void greedyIsTheFirstThatNothingExceeds(@ForAll("hostileRows") float[] logits) {
    int best = 0;
    for (int i = 1; i < logits.length; i++) {
      if (logits[i] > logits[best]) {
        best = i;
      }
    }
    SamplingOptions greedy = new SamplingOptions(10, 0, 1, 0, 0, false, -1);
    assertThat(SAMPLER.sample(nativeRow(logits), greedy, 0).tokenId()).isEqualTo(best);
  }

  @Property(tries = 1000)
  void hostileRowsGiveSomeToken(
      @ForAll("hostileRows") float[] logits, @ForAll("options") SamplingOptions options) {
    SampledToken token = SAMPLER.sample(nativeRow(logits), options, 0);
    assertThat(token.tokenId()).isBetween(0, logits.length - 1);
  }

  @Provide
  Arbitrary<float[]> hostileRows() {
    return Arbitraries.of(
            0f,
            -0f,
            1f,
            -7f,
            Float.NaN,
            Float.intBitsToFloat(0xFFC00001),
            Float.MIN_VALUE,
            Float.MAX_VALUE,
            Float.POSITIVE_INFINITY,
            Float.NEGATIVE_INFINITY)
        .array(float[].class)
        .ofMinSize(1)
        .ofMaxSize(80)
        .flatMap(row -> Arbitraries.of(1, 1, 100).map(times -> stretched(row, times)));
  }

  /** Longer than the pieces in which the largest is looked for. */
  private static float[] stretched(float[] row, int times) {
    float[] longer = new float[row.length * times];
    for (int i = 0; i < longer.length; i++) {
      longer[i] = row[i / times];
    }
    return longer;
  }
}
