package io.epidote.router.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
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

  /** As a router looks, once a second. */
  private void looking(int count, int perSecond, int maxTokens) {
    for (int i = 0; i < count; i++) {
      seconds(1, perSecond, maxTokens, true);
      demand.rates();
    }
  }

  @Test
  void whatCameBeforeALoadChangedDoesNotCount() {
    looking(20, 1, 50);
    looking(10, 4, 500);
    Demand.Rates rates = demand.rates();
    assertThat(rates.seconds()).isBetween(5.0, 13.0);
    assertThat(rates.requestsS()).isBetween(3.2, 4.0);
    assertThat(rates.tiles()).isCloseTo(10, within(1e-9));
    assertThat(rates.promptTokens()).isCloseTo(700, within(1e-9));
    assertThat(rates.answerTokens()).isCloseTo(500, within(40.0));
  }

  @Test
  void whatWasSeenOfFewMayBeMuchLess() {
    seconds(10, 1, 50, true);
    assertThat(demand.rates().atMost().requestsS()).isCloseTo(1.32, within(0.01));
    seconds(50, 1, 50, true);
    assertThat(demand.rates().atMost().requestsS()).isCloseTo(1.13, within(0.01));
  }

  @Test
  void chanceIsNoChange() {
    Random random = new Random(7);
    double least = 180;
    for (int second = 0; second < 600; second++) {
      for (int tenth = 0; tenth < 10; tenth++) {
        if (random.nextDouble() < 0.12) {
          demand.arrived(1, 10, 700, 400, true);
        }
        if (random.nextDouble() < 0.25) {
          demand.arrived(2, 20, 1400, 30, true);
        }
      }
      now.addAndGet(SECOND);
      double seconds = demand.rates().seconds();
      least = second > 180 ? Math.min(least, seconds) : least;
    }
    assertThat(least).isEqualTo(180);
    assertThat(demand.rates().requestsS()).isCloseTo(3.7, within(0.8));
  }

  @Test
  void aNewKindIsNoticedWithinSecondsButOneRequestOfItIsNoChange() {
    looking(60, 2, 50);
    demand.arrived(2, 20, 1400, 500, true);
    looking(5, 2, 50);
    assertThat(demand.rates().seconds()).isEqualTo(65);
    int noticed = 0;
    while (demand.rates().seconds() >= 65) {
      noticed++;
      assertThat(noticed).isLessThan(6);
      demand.arrived(2, 20, 1400, 500, true);
      seconds(1, 2, 50, true);
    }
  }

  /** It has been as high before, and went down again. */
  @Test
  void whatGoesUpAndDownAllTheTimeIsOneLoad() {
    for (int turn = 0; turn < 4; turn++) {
      seconds(6, 1, 50, true);
      seconds(6, 6, 500, true);
    }
    looking(6, 1, 50);
    looking(6, 7, 500);
    Demand.Rates rates = demand.rates();
    assertThat(rates.seconds()).isEqualTo(60);
    assertThat(rates.pieces()).hasSize(12);
    assertThat(rates.pieces().stream().mapToDouble(Demand.Rates::requestsS).max().orElseThrow())
        .isCloseTo(7, within(1e-9));
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
