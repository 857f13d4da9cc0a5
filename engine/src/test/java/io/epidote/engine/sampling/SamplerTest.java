package io.epidote.engine.sampling;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

class SamplerTest {
  /** Probabilities 0.5, 0.25, 0.125, 0.0625 and twice 0.03125. */
  private static final FloatBuffer LOGITS =
      FloatBuffer.wrap(
          new float[] {log(0.125), log(0.5), log(0.03125), log(0.25), log(0.03125), log(0.0625)});

  private final Sampler sampler = new Sampler();

  private static float log(double probability) {
    return (float) Math.log(probability);
  }

  private static SamplingOptions options(float temperature, float topP, int topK, int logprobs) {
    return new SamplingOptions(10, temperature, topP, topK, 42, false, logprobs);
  }

  private double[] frequencies(SamplingOptions options, int draws) {
    double[] counts = new double[LOGITS.remaining()];
    for (int position = 0; position < draws; position++) {
      counts[sampler.sample(LOGITS, options, position).tokenId()] += 1.0 / draws;
    }
    return counts;
  }

  @Test
  void greedyTakesTheLargest() {
    assertThat(sampler.sample(LOGITS, options(0, 1, 0, -1), 3).tokenId()).isEqualTo(1);
  }

  @Test
  void logitsMayStandInAnArrayOfBytes() {
    FloatBuffer row = ByteBuffer.allocate(24).order(ByteOrder.nativeOrder()).asFloatBuffer();
    row.put(0, LOGITS, 0, 6);
    assertThat(sampler.sample(row, options(0, 1, 0, -1), 3).tokenId()).isEqualTo(1);
  }

  @Test
  void drawsFollowTheDistribution() {
    assertThat(frequencies(options(1, 1, 0, -1), 40_000))
        .containsExactly(new double[] {0.125, 0.5, 0.03125, 0.25, 0.03125, 0.0625}, within(0.01));
  }

  @Test
  void temperatureFlattens() {
    // Square roots of the probabilities, normalised.
    double sum = Math.sqrt(0.125) + Math.sqrt(0.5) + 0.5 + 2 * Math.sqrt(0.03125) + 0.25;
    assertThat(frequencies(options(2, 1, 0, -1), 40_000)[1])
        .isCloseTo(Math.sqrt(0.5) / sum, within(0.01));
  }

  @Test
  void topKAndTopPKeepTheLikeliest() {
    assertThat(drawn(options(1, 1, 2, -1))).containsExactlyInAnyOrder(1, 3);
    assertThat(drawn(options(1, 0.7f, 0, -1))).containsExactlyInAnyOrder(1, 3);
    // The token that crosses the mass is kept, so that one is always left.
    assertThat(drawn(options(1, 0.01f, 0, -1))).containsExactly(1);
    assertThat(drawn(options(1, 0.8f, 0, -1))).containsExactlyInAnyOrder(1, 3, 0);
    double[] nucleus = frequencies(options(1, 0.7f, 0, -1), 20_000);
    assertThat(nucleus[1]).isCloseTo(2.0 / 3, within(0.02));
  }

  private Set<Integer> drawn(SamplingOptions options) {
    Set<Integer> tokens = new HashSet<>();
    for (int position = 0; position < 3000; position++) {
      tokens.add(sampler.sample(LOGITS, options, position).tokenId());
    }
    return tokens;
  }

  @Test
  void aDrawDependsOnSeedAndPositionAlone() {
    SamplingOptions options = options(1, 1, 0, -1);
    int[] first = new int[50];
    for (int position = 0; position < 50; position++) {
      first[position] = sampler.sample(LOGITS, options, position).tokenId();
    }
    Sampler elsewhere = new Sampler();
    for (int position = 49; position >= 0; position--) {
      assertThat(elsewhere.sample(LOGITS, options, position).tokenId()).isEqualTo(first[position]);
    }
    assertThat(first).contains(1, 3);
  }

  @Test
  void logprobsAreOfTheModelsOwnDistribution() {
    SampledToken token = sampler.sample(LOGITS, options(0, 1, 0, 3), 0);
    assertThat(token.logprob()).isCloseTo(log(0.5), within(1e-5f));
    assertThat(token.candidates())
        .extracting(SampledToken.Candidate::tokenId)
        .containsExactly(1, 3, 0);
    assertThat(token.candidates().get(2).logprob()).isCloseTo(log(0.125), within(1e-5f));
    assertThat(sampler.sample(LOGITS, options(0, 1, 0, 0), 0).candidates()).isEmpty();
    assertThat(sampler.sample(LOGITS, options(0, 1, 0, -1), 0).logprob()).isNaN();
  }
}
