package io.epidote.router.roles;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.epidote.router.cluster.Demand;
import io.epidote.router.cluster.StageWork;
import io.epidote.router.roles.Forecast.Nodes;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.DoubleRange;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

class ForecastTest {
  private static final StageWork IDLE = new StageWork(400, 50, 10, 3, 1000, 0, 0, 0);

  /** So many requests a second of a picture, with answers of so many tokens. */
  private static Forecast forecast(double rate, double answer, StageWork work) {
    return new Forecast(new Demand.Rates(rate, 1, 10, 700, answer, 60), work, 1500, 40, 30);
  }

  /** Nodes until a switch is done, and from then on. */
  private static Forecast.Course switched(Nodes away, Nodes after, double awayS) {
    return seconds -> seconds < awayS ? away : after;
  }

  /** Encode is so far behind that one node more does not help anybody in time, but three do. */
  @Test
  void severalSwitchesMayPayWhereOneDoesNot() {
    StageWork behind = new StageWork(880, 120, 10, 0.3, 1000, 20_000, 0, 20);
    Forecast forecast = forecast(5, 30, behind);
    double stays = forecast.of(new Nodes(2, 1, 5)).score();
    double one = forecast.of(switched(new Nodes(2, 1, 4), new Nodes(3, 1, 4), 0.2)).score();
    double three =
        forecast
            .of(seconds ->
                seconds < 4
                    ? new Nodes(3, 1, 4)
                    : seconds < 8 ? new Nodes(4, 1, 3) : new Nodes(5, 1, 2))
            .score();
    assertThat(one).isGreaterThan(stays);
    assertThat(three).isGreaterThan(one + 0.1);
  }

  @Test
  void anIdleClusterMeetsItsTargets() {
    assertThat(forecast(0.2, 50, IDLE).of(new Nodes(5, 1, 2)).attainment()).isGreaterThan(0.95);
  }

  @Test
  void longAnswersAskForDecodeNodes() {
    Forecast forecast = forecast(3, 500, IDLE);
    double now = forecast.of(new Nodes(5, 1, 2)).score();
    double one = forecast.of(switched(new Nodes(4, 1, 2), new Nodes(4, 1, 3), 1)).score();
    double prefill = forecast.of(switched(new Nodes(4, 1, 2), new Nodes(4, 2, 2), 1)).score();
    assertThat(one).isGreaterThan(now).isGreaterThan(prefill);
  }

  @Test
  void manyPicturesAskForEncodeNodes() {
    Forecast forecast = forecast(6, 10, IDLE);
    double now = forecast.of(new Nodes(2, 1, 5)).attainment();
    double more = forecast.of(switched(new Nodes(2, 1, 4), new Nodes(3, 1, 4), 1)).attainment();
    assertThat(now).isLessThan(0.5);
    assertThat(more).isGreaterThan(now + 0.2);
  }

  @Test
  void aSwitchThatLastsAsLongAsTheHorizonCannotPay() {
    Forecast forecast = forecast(3, 500, IDLE);
    assertThat(forecast.of(switched(new Nodes(4, 1, 2), new Nodes(4, 1, 3), 30)).score())
        .isLessThanOrEqualTo(forecast.of(new Nodes(5, 1, 2)).score());
  }

  @Test
  void answersBeyondANodesRoomWaitForOthers() {
    Forecast forecast = forecast(1, 100, new StageWork(0, 50, 10, 1, 4, 0, 0, 0));
    assertThat(forecast.tokenMs(4, new Nodes(1, 1, 1), 0)).isCloseTo(14, within(1e-9));
    assertThat(forecast.tokenMs(8, new Nodes(1, 1, 1), 0)).isCloseTo(28, within(1e-9));
  }

  @Property
  void moreNodesAreNeverWorse(
      @ForAll @DoubleRange(min = 0.1, max = 20) double rate,
      @ForAll @DoubleRange(min = 1, max = 800) double answer,
      @ForAll @IntRange(min = 1, max = 6) int encode,
      @ForAll @IntRange(min = 1, max = 6) int prefill,
      @ForAll @IntRange(min = 1, max = 6) int decode) {
    Forecast forecast = forecast(rate, answer, IDLE);
    double now = forecast.of(new Nodes(encode, prefill, decode)).score();
    assertThat(forecast.of(new Nodes(encode, prefill, decode + 1)).score())
        .isGreaterThanOrEqualTo(now - 1e-9);
    assertThat(forecast.of(new Nodes(encode, prefill, decode)).attainment()).isBetween(0.0, 1.0);
  }
}
