package io.epidote.engine.cost;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.cost.CostFit.Measured;
import io.epidote.engine.model.SequenceChunk;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class CostFitTest {
  private static List<StepWork> prefills() {
    List<StepWork> shapes = new ArrayList<>();
    for (double past : new double[] {0, 100, 900}) {
      for (double tokens : new double[] {16, 64, 256, 700}) {
        shapes.add(new StepWork.Prefill(tokens, tokens * (past + tokens / 2), past, 0));
      }
    }
    return shapes;
  }

  private static List<StepWork> decodes() {
    List<StepWork> shapes = new ArrayList<>();
    for (int answers : new int[] {1, 4, 32}) {
      for (double context : new double[] {50, 400, 2000}) {
        shapes.add(new StepWork.Decode(answers, answers * context, 0));
      }
    }
    return shapes;
  }

  private static List<Measured> measured(StageCost cost, List<StepWork> shapes) {
    return shapes.stream().map(work -> new Measured(work, cost.ms(work))).toList();
  }

  @Property
  void costsAreFoundFromWhatTheyGive(
      @ForAll @DoubleRange(min = 0.1, max = 20) double step,
      @ForAll @DoubleRange(min = 0.01, max = 2) double token,
      @ForAll @IntRange(max = 1000) int nanosOfPair,
      @ForAll @IntRange(max = 10_000) int nanosOfCached) {
    double pair = nanosOfPair / 1e6;
    double cached = nanosOfCached / 1e6;
    StageCost cost = new StageCost(CostStage.PREFILL, List.of(step, token, pair, cached, 0.0));
    StageCost found = CostFit.fit(CostStage.PREFILL, measured(cost, prefills()));
    assertThat(found.ms().get(0)).isCloseTo(step, within(1e-4 * step + 1e-4));
    assertThat(found.ms().get(1)).isCloseTo(token, within(1e-4 * token + 1e-5));
    assertThat(found.ms().get(2)).isCloseTo(pair, within(1e-7));
    assertThat(found.ms().get(3)).isCloseTo(cached, within(1e-5));
    assertThat(found.ms().get(4)).as("experts, which no step has").isZero();
    assertThat(CostFit.mape(found, measured(cost, prefills()))).isLessThan(1e-4);
  }

  /** The conditions of Karush, Kuhn and Tucker: no coefficient can be changed for the better. */
  @Property
  void noOtherCostsOfAtLeastZeroAreNearer(@ForAll @IntRange(max = 1 << 30) int seed) {
    Random random = new Random(seed);
    int terms = 4;
    double[][] gram = new double[terms][terms];
    double[] moment = new double[terms];
    for (int row = 0; row < 12; row++) {
      double[] units = random.doubles(terms, 0, 10).toArray();
      double value = random.nextDouble() * 20 - 5;
      for (int i = 0; i < terms; i++) {
        moment[i] += units[i] * value;
        for (int j = 0; j < terms; j++) {
          gram[i][j] += units[i] * units[j];
        }
      }
    }
    double[] x = NonNegativeLeastSquares.solve(gram, moment);
    double scale = Arrays.stream(moment).map(Math::abs).max().orElseThrow();
    for (int i = 0; i < terms; i++) {
      double gradient = moment[i];
      for (int j = 0; j < terms; j++) {
        gradient -= gram[i][j] * x[j];
      }
      assertThat(x[i]).isNotNegative();
      assertThat(gradient / scale).isLessThan(1e-6);
      if (x[i] > 0) {
        assertThat(gradient / scale).isCloseTo(0, within(1e-6));
      }
    }
  }

  @Test
  void aTermThatWouldHelpOnlyBelowZeroCostsNothing() {
    // Larger steps take less: there is no line of this kind but a constant one.
    List<Measured> steps =
        List.of(
            new Measured(new StepWork.Encode(1), 30),
            new Measured(new StepWork.Encode(2), 20),
            new Measured(new StepWork.Encode(4), 10));
    StageCost cost = CostFit.fit(CostStage.ENCODE, steps);
    assertThat(cost.of("tile_ms")).isZero();
    assertThat(cost.of("encode_step_ms")).isBetween(10.0, 30.0);
  }

  @Test
  void columnsThatAreAlikeShareOneCost() {
    // Every answer has the same context, so that answers and their keys and values say the same.
    List<Measured> steps = new ArrayList<>();
    for (int answers = 1; answers <= 16; answers *= 2) {
      steps.add(new Measured(new StepWork.Decode(answers, 100.0 * answers, 0), 5 + 0.5 * answers));
    }
    StageCost cost = CostFit.fit(CostStage.DECODE, steps);
    assertThat(CostFit.mape(cost, steps)).isLessThan(1e-6);
    assertThat(cost.ms(new StepWork.Decode(12, 1200, 0))).isCloseTo(11, within(1e-6));
  }

  @Test
  void aSmallStepCountsAsMuchAsALargeOne() {
    StageCost cost =
        StageCost.of(CostStage.DECODE, Map.of("decode_step_ms", 0.2, "kv_token_ms", 0.01));
    Random random = new Random(3);
    List<Measured> noisy =
        measured(cost, decodes()).stream()
            .map(step -> new Measured(step.work(), step.ms() * (0.97 + 0.06 * random.nextDouble())))
            .toList();
    StageCost found = CostFit.fit(CostStage.DECODE, noisy);
    assertThat(CostFit.mape(found, measured(cost, decodes()))).isLessThan(0.04);
  }

  @Test
  void pairsOfAPromptDoNotDependOnHowItIsCut() {
    StepWork.Prefill whole = StepWork.Prefill.of(List.of(chunk(100, 0)));
    StepWork.Prefill cut = StepWork.Prefill.of(List.of(chunk(40, 0)));
    StepWork.Prefill rest = StepWork.Prefill.of(List.of(chunk(60, 40)));
    assertThat(cut.pairs() + rest.pairs()).isEqualTo(whole.pairs()).isEqualTo(5000);
    assertThat(rest.cached()).isEqualTo(40);
    assertThat(StepWork.Decode.of(List.of(chunk(1, 99), chunk(1, 0))).kvTokens()).isEqualTo(101);
  }

  private static SequenceChunk chunk(int tokens, int past) {
    return new SequenceChunk(new int[tokens], past, new int[16], List.of(), true);
  }

  @Test
  void manyTokensReadEveryExpertAndOneReadsItsOwn() {
    assertThat(StepWork.distinctExperts(16, 2, 1)).isCloseTo(2, within(1e-9));
    assertThat(StepWork.distinctExperts(16, 2, 1000)).isCloseTo(16, within(1e-6));
    assertThat(StepWork.distinctExperts(16, 2, 8)).isBetween(8.0, 12.0);
  }

  @Test
  void whatIsNoCostIsRefused() {
    assertThatThrownBy(() -> new StageCost(CostStage.ENCODE, List.of(1.0, -1.0)))
        .hasMessageContaining("tile_ms");
    assertThatThrownBy(
            () -> StageCost.of(CostStage.ENCODE, Map.of()).ms(new StepWork.Decode(1, 1, 0)))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
