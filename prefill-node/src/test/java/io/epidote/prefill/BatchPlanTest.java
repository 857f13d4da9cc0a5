package io.epidote.prefill;

import static org.assertj.core.api.Assertions.assertThat;

import io.epidote.prefill.BatchPlan.Prompt;
import java.util.ArrayList;
import java.util.List;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

final class BatchPlanTest {
  private static final int BUDGET = 2048;

  private static List<Prompt> prompts(int... tokens) {
    List<Prompt> row = new ArrayList<>();
    for (int count : tokens) {
      row.add(new Prompt(count, Math.min(count, 512)));
    }
    return row;
  }

  @Example
  void whereStepsCostNothingPromptsGoOneAfterTheOther() {
    assertThat(new BatchPlan(0, 1).next(prompts(300, 300, 300, 300), BUDGET, 64)).isEqualTo(1);
  }

  @Example
  void whereStepsCostMuchPromptsGoTogether() {
    assertThat(new BatchPlan(100, 0.1).next(prompts(30, 30, 30, 30), BUDGET, 64)).isEqualTo(4);
  }

  @Example
  void shortPromptsShareAStepBeforeALongOne() {
    assertThat(new BatchPlan(20, 1).next(prompts(4, 4, 4, 500), BUDGET, 64)).isEqualTo(3);
  }

  @Example
  void nothingIsPlannedBeforeAnythingWasMeasured() {
    assertThat(new BatchPlan(0, 0).next(prompts(300, 300, 300), 700, 64)).isEqualTo(2);
  }

  @Example
  void aPromptWithoutOthersRunsAtOnce() {
    assertThat(new BatchPlan(5, 1).next(prompts(4000), BUDGET, 64)).isEqualTo(1);
  }

  /** The sum of times to first token when the row is run as planned, or as much as fits. */
  private static double run(List<Prompt> all, BatchPlan plan, BatchPlan cost) {
    List<Prompt> row = new ArrayList<>(all);
    double sum = 0;
    double ms = 0;
    while (!row.isEmpty()) {
      List<Prompt> batch = row.subList(0, plan.next(List.copyOf(row), BUDGET, 64));
      ms += cost.fixedMs() + cost.tokenMs() * batch.stream().mapToInt(Prompt::chunk).sum();
      List<Prompt> rest = new ArrayList<>();
      for (Prompt prompt : batch) {
        int left = prompt.left() - prompt.chunk();
        if (left > 0) {
          rest.add(new Prompt(left, Math.min(left, prompt.chunk())));
        } else {
          sum += ms;
        }
      }
      rest.addAll(row.subList(batch.size(), row.size()));
      row = rest;
    }
    return sum;
  }

  @Property(tries = 300)
  void aPlanIsNeverWorseThanGreedyAndAlwaysFits(
      @ForAll @Size(min = 1, max = 20) List<@IntRange(min = 1, max = 512) Integer> tokens,
      @ForAll @DoubleRange(min = 0, max = 50) double fixed,
      @ForAll @DoubleRange(min = 0.01, max = 1) double token) {
    List<Prompt> row = prompts(tokens.stream().sorted().mapToInt(i -> i).toArray());
    BatchPlan cost = new BatchPlan(fixed, token);
    int size = cost.next(row, BUDGET, 64);
    assertThat(size).isBetween(1, row.size());
    assertThat(row.subList(0, size).stream().mapToInt(Prompt::chunk).sum())
        .isLessThanOrEqualTo(BUDGET);
    double greedy = run(row, new BatchPlan(0, 0), cost);
    assertThat(run(row, cost, cost)).isLessThanOrEqualTo(greedy * 1.0001);
  }
}
