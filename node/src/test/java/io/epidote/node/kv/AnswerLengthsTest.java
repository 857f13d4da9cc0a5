package io.epidote.node.kv;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import net.jqwik.api.Example;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.Size;

final class AnswerLengthsTest {
  /** The same question answered from the whole history, slowly. */
  @Property(tries = 300)
  void itIsTheQuantileOfTheLatestLongerOnes(
      @ForAll @Size(max = 700) List<@IntRange(min = 1, max = 60) Integer> history,
      @ForAll @IntRange(min = 0, max = 70) int generated,
      @ForAll @IntRange(min = 71, max = 200) int bound) {
    AnswerLengths lengths = new AnswerLengths();
    history.forEach(lengths::ended);
    List<Integer> latest = history.subList(Math.max(0, history.size() - 512), history.size());
    List<Integer> longer = latest.stream().filter(tokens -> tokens > generated).sorted().toList();
    int expected =
        latest.size() < 16 || longer.isEmpty()
            ? bound - generated
            : longer.get((int) (0.9 * (longer.size() - 1))) - generated;
    assertThat(lengths.left(generated, bound)).isEqualTo(expected);
  }

  @Example
  void theBoundIsNeverExceeded() {
    AnswerLengths lengths = new AnswerLengths();
    for (int i = 0; i < 100; i++) {
      lengths.ended(50);
    }
    assertThat(lengths.left(0, 20)).isEqualTo(20);
    assertThat(lengths.left(0, 80)).isEqualTo(50);
    assertThat(lengths.left(49, 80)).isEqualTo(1);
    // Longer than any before: only the bound is known.
    assertThat(lengths.left(50, 80)).isEqualTo(30);
  }
}
