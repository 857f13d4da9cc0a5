package io.epidote.router.request;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import java.util.Random;
import org.junit.jupiter.api.Test;

class FirstTokenMarginTest {
  @Test
  void almostAllComeWithinIt() {
    FirstTokenMargin margin = new FirstTokenMargin();
    Random random = new Random(7);
    for (int i = 0; i < 2000; i++) {
      margin.came(100, 100 + 100 * random.nextDouble());
    }
    assertThat(margin.factor()).isCloseTo(1.97, within(0.1));
  }

  @Test
  void itNeverPromisesLessThanThePrediction() {
    FirstTokenMargin margin = new FirstTokenMargin();
    for (int i = 0; i < 100; i++) {
      margin.came(100, 10);
    }
    assertThat(margin.factor()).isEqualTo(1);
    for (int i = 0; i < 1000; i++) {
      margin.came(100, 1e9);
    }
    assertThat(margin.factor()).isEqualTo(4);
  }
}
