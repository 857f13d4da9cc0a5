package io.epidote.router.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class PrefixHintsTest {
  private final PrefixHints hints = new PrefixHints(6);

  private static PromptPrefix prompt(Long... names) {
    return new PromptPrefix(List.of(names));
  }

  @Test
  void theBeginningOfAPromptIsKnown() {
    assertThat(hints.match(prompt(1L, 2L))).isZero();
    hints.sent(prompt(1L, 2L, 3L));
    assertThat(hints.match(prompt(1L, 2L, 4L, 3L))).isEqualTo(2);
    assertThat(hints.match(prompt(1L, 2L, 3L, 4L))).isEqualTo(3);
    assertThat(hints.match(prompt(2L, 3L))).isEqualTo(2);
    assertThat(hints.match(PromptPrefix.UNKNOWN)).isZero();
  }

  @Test
  void noMoreIsRememberedThanTheNodeCanHave() {
    hints.sent(prompt(1L, 2L, 3L));
    hints.sent(prompt(11L, 12L, 13L));
    hints.sent(prompt(1L));
    hints.sent(prompt(21L, 22L, 23L));
    assertThat(hints.match(prompt(1L, 2L))).isEqualTo(1);
    assertThat(hints.match(prompt(21L, 22L, 23L))).isEqualTo(3);
    // Of a prompt that does not fit, the beginning.
    hints.sent(prompt(31L, 32L, 33L, 34L, 35L, 36L, 37L, 38L));
    assertThat(hints.match(prompt(31L, 32L, 33L, 34L, 35L, 36L, 37L, 38L))).isEqualTo(6);
  }

  @Test
  void whatIsRememberedIsWhatWasSentLast() {
    int most = 37;
    PrefixHints few = new PrefixHints(most);
    Map<Long, Boolean> expected = new LinkedHashMap<>(16, 0.75f, true);
    SplittableRandom random = new SplittableRandom(3);
    for (int i = 0; i < 20_000; i++) {
      // Few hashes, so that names are in each other's way.
      long name = random.nextLong(80) * 16;
      few.sent(prompt(name));
      expected.put(name, true);
      if (expected.size() > most) {
        expected.remove(expected.keySet().iterator().next());
      }
      long other = random.nextLong(80) * 16;
      assertThat(few.match(prompt(other))).isEqualTo(expected.containsKey(other) ? 1 : 0);
    }
  }

  @Test
  void aNodeWithoutBlocksHasNothing() {
    PrefixHints none = new PrefixHints(0);
    none.sent(prompt(1L));
    assertThat(none.match(prompt(1L))).isZero();
  }
}
