package io.epidote.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.checkpoint.Checkpoint;
import io.epidote.engine.model.Precision;
import io.epidote.engine.model.RuntimeOptions;
import java.nio.FloatBuffer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What low precision may cost. */
class QualityTest {
  private static final int QUESTIONS = 210;

  private static QualityBench bench(Checkpoint checkpoint, Precision precision) {
    return new QualityBench(
        checkpoint, new RuntimeOptions(2, precision, Home.cache(), true), new Progress());
  }

  @Test
  void scenesAtInt8LosesAtMostOnePoint() {
    try (Checkpoint checkpoint = Checkpoint.open(Home.model("scenes"))) {
      QualityBench bench = bench(checkpoint, Precision.INT8);
      QualityBench.Scenes scenes = bench.scenes(7, QUESTIONS);
      assertThat(scenes.exactFp32()).isGreaterThan(QUESTIONS * 9 / 10);
      assertThat(scenes.exact()).isGreaterThanOrEqualTo(scenes.exactFp32() - QUESTIONS / 100);
      assertThat(bench.sizeRatio()).isGreaterThan(1.5);
    }
  }

  /** Fewer bits lose more, and fp32 loses nothing. */
  @ParameterizedTest
  @CsvSource({"FP32, 0, 1e-9", "INT8, 1e-9, 0.05", "INT4, 1e-4, 1"})
  void divergenceGrowsAsBitsGo(Precision precision, double least, double most) {
    try (Checkpoint checkpoint = Checkpoint.open(Home.model("scenes"))) {
      QualityBench.Text text = bench(checkpoint, precision).text(7, 64);
      assertThat(text.klMean()).isBetween(least - 1e-12, most);
      assertThat(text.klP99()).isGreaterThanOrEqualTo(text.klMean() - 1e-12);
      assertThat(text.qualityRatio()).isBetween(Math.exp(-most), 1 + 1e-9);
      assertThat(text.top1Agreement()).isBetween(0.5, 1.0);
    }
  }

  @Test
  void divergenceIsKullbacksAndLeiblers() {
    // Of (1/2, 1/2) and (1/4, 3/4), whatever is added to the logits.
    FloatBuffer even = FloatBuffer.wrap(new float[] {3, 3});
    FloatBuffer skewed = FloatBuffer.wrap(new float[] {0, (float) Math.log(3)});
    double expected = 0.5 * Math.log(2) + 0.5 * Math.log(2 / 3.0);
    assertThat(QualityBench.divergence(even, skewed)).isCloseTo(expected, within(1e-6));
    assertThat(QualityBench.divergence(even, even)).isZero();
  }
}
