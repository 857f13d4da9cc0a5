package io.epidote.router.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class DemandTest {
  private static final long SECOND = 1_000_000_000L;

  private final AtomicLong now = new AtomicLong(100 * SECOND);
  private final Demand demand = new Demand(now::get);

  private void seconds(int count, int perSecond, int maxTokens, boolean exact) {
    for (int i = 0; i < count; i++) {
      for (int each = 0; each < perSecond; each++) {
        demand.arrived(1, 10, 700, maxTokens, exact);
      }
      now.addAndGet(SECOND);
    }
  }

  @Test
  void nothingCame() {
    assertThat(demand.rates().requestsS()).isZero();
  }

  @Test
  void theLastTenSecondsCount() {
    seconds(20, 1, 50, true);
    seconds(10, 4, 500, true);
    Demand.Rates rates = demand.rates();
    assertThat(rates.requestsS()).isCloseTo(4, within(1e-9));
    assertThat(rates.tiles()).isCloseTo(10, within(1e-9));
    assertThat(rates.promptTokens()).isCloseTo(700, within(1e-9));
    assertThat(rates.answerTokens()).isCloseTo(500, within(1e-9));
  }

  @Test
  void aShortPastIsDividedByWhatThereWas() {
    seconds(3, 2, 50, true);
    assertThat(demand.rates().requestsS()).isCloseTo(2, within(1e-9));
  }

  @Test
  void whatEndsByItselfIsGuessedFromAnswersBefore() {
    for (int i = 0; i < 200; i++) {
      demand.answered(30);
    }
    seconds(5, 1, 1000, false);
    assertThat(demand.rates().answerTokens()).isCloseTo(30, within(1.0));
  }

  @Test
  void anHourLaterNothingIsLeft() {
    seconds(10, 5, 50, true);
    now.addAndGet(3600 * SECOND);
    assertThat(demand.rates().requestsS()).isZero();
  }

  @Test
  void oneOfThreeRoutersSeesAThird() {
    demand.among(3);
    seconds(10, 4, 500, true);
    assertThat(demand.rates().requestsS()).isCloseTo(12, within(1e-9));
    assertThat(demand.rates().promptTokens()).isCloseTo(700, within(1e-9));
  }
}
