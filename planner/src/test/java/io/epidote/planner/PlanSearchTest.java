package io.epidote.planner;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.engine.cost.CostStage;
import io.epidote.engine.cost.StageCost;
import io.epidote.node.engine.QueueOrder.Policy;
import io.epidote.planner.sim.ClusterShape.Device;
import io.epidote.planner.sim.Request;
import io.epidote.planner.sim.Request.Span;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.atomic.AtomicInteger;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class PlanSearchTest {
  private static final Device DEVICE =
      new Device(
          StageCost.of(CostStage.ENCODE, Map.of("tile_ms", 40.0)),
          StageCost.of(CostStage.PREFILL, Map.of("prefill_step_ms", 3.0, "prompt_token_ms", 0.1)),
          StageCost.of(CostStage.DECODE, Map.of("decode_step_ms", 10.0, "decode_token_ms", 0.05)),
          OptionalDouble.of(0),
          16,
          4096,
          16384,
          Optional.empty(),
          4096,
          _ -> 0);

  private static Request picture() {
    List<Span> spans = new ArrayList<>();
    for (int tile = 0; tile < 10; tile++) {
      spans.add(new Span(0, tile, tile * 64, 64));
    }
    return new Request(List.of(10), spans, 660, 10);
  }

  private static final Capacity CAPACITY = new Capacity(DEVICE, List.of(picture()));

  /** Serves less the more unlike some plan it is; the better half of what it could at the most. */
  private static double served(Plan plan) {
    int[] counts = plan.layout().counts();
    double apart = 0;
    double[] wanted = {0.7, 0.2, 0.1, 0, 0, 0};
    for (int kind = 0; kind < counts.length; kind++) {
      apart += Math.abs((double) counts[kind] / plan.layout().devices() - wanted[kind]);
    }
    double settings =
        (plan.order() == Policy.SLACK ? 1 : 0.97) * (plan.decodeBatch() == 256 ? 1 : 0.95);
    return CAPACITY.rate(plan) * settings * (1 - 0.2 * apart);
  }

  private static PlanSearch search(PlanSpace space, double cost) {
    return new PlanSearch(
        space, CAPACITY, (plan, rate) -> rate <= served(plan), 0.005, cost, _ -> {});
  }

  private static double best(PlanSpace space, double cost) {
    return space.allLayouts().stream()
        .flatMap(layout -> space.settings(layout).stream())
        .mapToDouble(plan -> served(plan) - cost * plan.layout().devices())
        .max()
        .orElseThrow();
  }

  @Test
  void ofFewPlansTheBestIsFound() {
    PlanSpace space = new PlanSpace(8, false, true);
    PlanSearch.Found found = search(space, 0).search(3);
    assertThat(found.exhaustive()).isTrue();
    // What is better by less than a hundredth is not worth another setting.
    assertThat(served(found.plan())).isGreaterThan(0.985 * best(space, 0));
    assertThat((long) found.looked()).isLessThan(space.size());
  }

  @Test
  void ofManyPlansAlmostTheBestIsFound() {
    PlanSpace space = new PlanSpace(64, false, true);
    PlanSearch.Found found = search(space, 0).search(3);
    assertThat(found.exhaustive()).isFalse();
    assertThat(served(found.plan())).isGreaterThan(0.95 * best(space, 0));
    assertThat(found.looked()).isLessThan(60);
    assertThat(search(space, 0).search(3)).isEqualTo(found);
  }

  @Test
  void devicesThatDoNotPayAreLeftOut() {
    PlanSpace space = new PlanSpace(6, true, true);
    double alone = served(Plan.usual(new Layout(0, 0, 0, 0, 0, 1)));
    PlanSearch.Found cheap = search(space, 0).search(3);
    assertThat(cheap.plan().layout().devices()).isEqualTo(6);
    // Costs more than any device can bring: the fewer the better.
    PlanSearch.Found dear = search(space, 10 * alone).search(3);
    assertThat(dear.plan().layout().devices()).isEqualTo(1);
  }

  @Property(tries = 100)
  void goodputIsWhereItEnds(
      @ForAll @DoubleRange(min = 0.02, max = 0.99) double part,
      @ForAll @DoubleRange(min = 0.1, max = 900) double most) {
    AtomicInteger trials = new AtomicInteger();
    Goodput goodput =
        new Goodput(
            (_, rate) -> {
              trials.incrementAndGet();
              return rate <= part * most;
            },
            0.01);
    double found = goodput.of(Plan.usual(new Layout(0, 0, 0, 0, 0, 1)), most);
    assertThat(found).isLessThanOrEqualTo(part * most).isGreaterThan(0.985 * part * most);
    assertThat(trials.get()).isLessThan(20);
  }

  @Property(tries = 20)
  void everyLayoutIsThereOnceAndServes(
      @ForAll @IntRange(min = 3, max = 12) int devices, @ForAll boolean fewer) {
    PlanSpace space = new PlanSpace(devices, fewer, true);
    List<Layout> all = space.allLayouts();
    assertThat(all).doesNotHaveDuplicates().allMatch(layout -> layout.serves(true));
    assertThat((long) all.size()).isEqualTo(space.layouts());
    assertThat(new HashSet<>(all)).containsAll(space.balanced(CAPACITY));
  }

  @Test
  void capacityIsThatOfTheStageThatIsShortest() {
    // 400 ms of encoding, on three nodes.
    assertThat(CAPACITY.rate(Plan.usual(new Layout(3, 8, 8, 0, 0, 0))))
        .isCloseTo(3 / 0.4, within(1e-9));
    // 66 ms of prefill.
    assertThat(CAPACITY.rate(Plan.usual(new Layout(40, 1, 8, 0, 0, 0))))
        .isCloseTo(1 / 0.066, within(1e-9));
    // Both on the same nodes.
    assertThat(CAPACITY.rate(Plan.usual(new Layout(0, 0, 8, 2, 0, 0))))
        .isCloseTo(2 / 0.466, within(1e-9));
  }
}
