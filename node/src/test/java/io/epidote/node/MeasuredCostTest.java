package io.epidote.node;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.proto.v1.Cost;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class MeasuredCostTest {
  private static final long MS = 1_000_000;
  private final MeasuredCost cost = new MeasuredCost();

  @Test
  void nothingIsToldBeforeThereIsEnough() {
    cost.add(1, 900 * MS);
    cost.add(1, 500 * MS);
    cost.add(1, 5 * MS);
    assertThat(cost.toProto()).isEqualTo(Cost.getDefaultInstance());
    cost.add(1, 5 * MS);
    assertThat(cost.toProto().getUnitMs()).isCloseTo(5, within(1e-9));
  }

  @Test
  void sizesThatAreAlikeTellOfNoFixedPart() {
    for (int i = 0; i < 20; i++) {
      cost.add(4, 20 * MS);
    }
    assertThat(cost.toProto().getFixedMs()).isCloseTo(0, within(1e-9));
    assertThat(cost.toProto().getUnitMs()).isCloseTo(5, within(1e-9));
  }

  @Test
  void aUnitTakesNoMoreThanInTheQuickest() {
    // What comes first waits for connections and for code to be compiled.
    for (int i = 0; i < 10; i++) {
      cost.add(4, (i < 6 ? 400 : 20) * MS);
    }
    assertThat(cost.toProto().getUnitMs()).isCloseTo(5, within(0.5));
    assertThat(cost.ms(4)).isGreaterThan(20);
  }

  @Test
  void whatHasChangedIsForgotten() {
    for (int i = 0; i < 100; i++) {
      cost.add(1 + i % 4, 100 * MS);
    }
    for (int i = 0; i < 200; i++) {
      cost.add(1 + i % 4, (3 + 2 * (1 + i % 4)) * MS);
    }
    assertThat(cost.toProto().getFixedMs()).isCloseTo(3, within(0.5));
    assertThat(cost.toProto().getUnitMs()).isCloseTo(2, within(0.2));
  }

  @Property
  void aLineIsFound(
      @ForAll @DoubleRange(min = 0, max = 50) double fixed,
      @ForAll @DoubleRange(min = 0, max = 5) double unit,
      @ForAll @IntRange(min = 2, max = 100) int sizes) {
    MeasuredCost line = new MeasuredCost();
    for (int i = 0; i < 60; i++) {
      int size = 1 + i % sizes;
      line.add(size, Math.round((fixed + unit * size) * MS));
    }
    assertThat(line.toProto().getFixedMs()).isCloseTo(fixed, within(1e-3));
    assertThat(line.toProto().getUnitMs()).isCloseTo(unit, within(1e-3));
  }

  @Property
  void noPartIsEverNegative(@ForAll List<@IntRange(min = 1, max = 1000) Integer> millis) {
    MeasuredCost line = new MeasuredCost();
    for (int i = 0; i < millis.size(); i++) {
      line.add(1 + (i * 7) % 5, millis.get(i) * MS);
    }
    assertThat(line.toProto().getFixedMs()).isNotNegative();
    assertThat(line.toProto().getUnitMs()).isNotNegative();
  }
}
