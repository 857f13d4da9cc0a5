package io.epidote.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StageCost;
import io.epidote.engine.cost.StepWork;
import io.epidote.proto.v1.Cost;
import java.util.List;
import java.util.Map;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class StepCostTest {
  private static final double MS = 1e6;

  private static StepWork.Prefill prompt(double tokens, double past) {
    return new StepWork.Prefill(tokens, tokens * (past + tokens / 2), past, 0);
  }

  private static void add(StepCost cost, StepWork work, double ms) {
    cost.add(work, Math.round(ms * MS));
  }

  @Test
  void nothingIsToldBeforeThereIsEnough() {
    StepCost cost = new StepCost(CostStage.DECODE);
    add(cost, new StepWork.Decode(1, 10, 0), 900);
    add(cost, new StepWork.Decode(1, 10, 0), 500);
    add(cost, new StepWork.Decode(1, 10, 0), 5);
    assertThat(cost.toProto()).isEqualTo(Cost.getDefaultInstance());
    assertThat(cost.ms(new StepWork.Decode(1, 10, 0))).isZero();
    add(cost, new StepWork.Decode(1, 10, 0), 5);
    assertThat(cost.toProto().getUnitMs()).isCloseTo(5, within(1e-3));
    assertThat(cost.ms(new StepWork.Decode(1, 10, 0))).isCloseTo(5, within(1e-3));
  }

  @Test
  void stepsThatAreAlikeTellOfNoFixedPartAndOfNoPairs() {
    StepCost cost = new StepCost(CostStage.PREFILL);
    for (int i = 0; i < 20; i++) {
      add(cost, prompt(512, 0), 51.2);
    }
    assertThat(cost.toProto().getFixedMs()).isCloseTo(0, within(1e-6));
    assertThat(cost.toProto().getUnitMs()).isCloseTo(0.1, within(1e-6));
    assertThat(cost.ms(prompt(64, 0))).isCloseTo(6.4, within(1e-3));
  }

  @Test
  void aLongPromptIsPredictedFromShorterOnesWithItsPairs() {
    StageCost truth =
        StageCost.of(
            CostStage.PREFILL,
            Map.of("prefill_step_ms", 3.0, "prompt_token_ms", 0.1, "prompt_pair_ms", 1e-4));
    StepCost cost = new StepCost(CostStage.PREFILL);
    Random random = new Random(5);
    for (int i = 0; i < 200; i++) {
      StepWork work = prompt(32 + random.nextInt(480), random.nextInt(4) * 512);
      add(cost, work, truth.ms(work));
    }
    StepWork large = prompt(4000, 0);
    assertThat(cost.ms(large) / truth.ms(large)).isCloseTo(1, within(0.05));
  }

  /** A minute of small steps does not make an answer as dear as a step. */
  @Test
  void stepsThatAreAlikeKeepTheShapeOfThoseBefore() {
    StageCost truth =
        StageCost.of(
            CostStage.DECODE,
            Map.of("decode_step_ms", 10.0, "decode_token_ms", 3.0, "kv_token_ms", 0.0));
    StepCost cost = new StepCost(CostStage.DECODE);
    for (int i = 0; i < 500; i++) {
      StepWork work = new StepWork.Decode(1 + i % 12, 700 * (1.0 + i % 12), 0);
      add(cost, work, truth.ms(work));
    }
    StepWork small = new StepWork.Decode(2, 1400, 0);
    for (int i = 0; i < 1000; i++) {
      add(cost, small, truth.ms(small));
    }
    assertThat(cost.toProto().getUnitMs()).isCloseTo(3, within(0.3));
    assertThat(cost.toProto().getFixedMs()).isCloseTo(10, within(1.0));
  }

  @Test
  void theLineIsThatOfStepsAsTheyWereOfLate() {
    StageCost truth =
        StageCost.of(
            CostStage.DECODE,
            Map.of("decode_step_ms", 8.0, "decode_token_ms", 0.5, "kv_token_ms", 0.002));
    StepCost cost = new StepCost(CostStage.DECODE);
    for (int i = 0; i < 200; i++) {
      int answers = 1 + i % 8;
      StepWork work = new StepWork.Decode(answers, answers * (100.0 + i % 5 * 100), 0);
      add(cost, work, truth.ms(work));
    }
    Cost line = cost.toProto();
    assertThat(line.getFixedMs() + 4 * line.getUnitMs())
        .isCloseTo(truth.ms(new StepWork.Decode(4, 4 * 300, 0)), within(0.2));
  }

  @Test
  void whatHasChangedIsForgotten() {
    StepCost cost = new StepCost(CostStage.DECODE);
    for (int i = 0; i < 100; i++) {
      add(cost, new StepWork.Decode(1 + i % 4, 50, 0), 100);
    }
    for (int i = 0; i < 300; i++) {
      int answers = 1 + i % 4;
      add(cost, new StepWork.Decode(answers, 50.0 * answers, 0), 3 + 2 * answers);
    }
    assertThat(cost.ms(new StepWork.Decode(2, 100, 0))).isCloseTo(7, within(0.3));
  }

  @Property
  void noPartIsEverNegative(@ForAll List<@IntRange(min = 1, max = 1000) Integer> millis) {
    StepCost cost = new StepCost(CostStage.PREFILL);
    for (int i = 0; i < millis.size(); i++) {
      add(cost, prompt(1 + i * 7 % 5, i % 3), millis.get(i));
    }
    assertThat(cost.toProto().getFixedMs()).isNotNegative();
    assertThat(cost.toProto().getUnitMs()).isNotNegative();
  }
}
