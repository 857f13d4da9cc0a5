package io.epidote.router.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
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
}
