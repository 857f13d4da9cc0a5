package io.epidote.router.access;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.epidote.engine.error.EpidoteException.Exhausted;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class TenantRatesTest {
  private final Map<String, TenantLimits> limits = new HashMap<>();
  private long nanos;
  private long millis;
  private final TenantRates rates =
      new TenantRates(
          tenant -> limits.getOrDefault(tenant, TenantLimits.NONE), () -> nanos, () -> millis);

  private void pass(double seconds) {
    nanos += (long) (seconds * 1e9);
    millis += (long) (seconds * 1e3);
  }

  private long refusedFor(String tenant) {
    long[] seconds = new long[1];
    assertThatThrownBy(() -> rates.begin(tenant))
        .isInstanceOfSatisfying(
            Exhausted.class, refusal -> seconds[0] = refusal.retryAfterSeconds());
    return seconds[0];
  }

  @Test
  void requestsComeAtTheirRateAndTenSecondsOfItAtOnce() {
    limits.put("a", new TenantLimits(2, 0, 0, 0));
    for (int i = 0; i < 20; i++) {
      rates.begin("a").ended();
    }
    assertThat(refusedFor("a")).isEqualTo(1);
    rates.begin("b").ended();
    pass(0.5);
    rates.begin("a").ended();
    assertThat(refusedFor("a")).isEqualTo(1);
    pass(1000);
    for (int i = 0; i < 20; i++) {
      rates.begin("a").ended();
    }
    assertThat(refusedFor("a")).isEqualTo(1);
  }

  @Test
  void tokensAreADebtThatIsWaitedOut() {
    limits.put("a", new TenantLimits(0, 10, 0, 0));
    TenantRates.Use use = rates.begin("a");
    use.tokens(150);
    use.ended();
    // A hundred were there; 51 more are wanted at ten a second.
    assertThat(refusedFor("a")).isEqualTo(6);
    pass(5.2);
    rates.begin("a").ended();
  }

  @Test
  void aDayHasItsQuotaAndTheNextAnother() {
    limits.put("a", new TenantLimits(0, 0, 100, 0));
    millis = TimeUnit.HOURS.toMillis(23);
    TenantRates.Use use = rates.begin("a");
    use.tokens(100);
    use.ended();
    assertThat(refusedFor("a")).isEqualTo(3600);
    pass(3600);
    rates.begin("a").ended();
  }

  @Test
  void soManyAtATime() {
    limits.put("a", new TenantLimits(0, 0, 0, 1));
    TenantRates.Use use = rates.begin("a");
    assertThat(refusedFor("a")).isEqualTo(1);
    use.ended();
    rates.begin("a").ended();
  }

  @Test
  void aLimitThatComesLaterFindsNoDebt() {
    limits.put("a", new TenantLimits(100, 0, 0, 0));
    TenantRates.Use use = rates.begin("a");
    use.tokens(1_000_000);
    use.ended();
    limits.put("a", new TenantLimits(0, 1, 0, 0));
    rates.begin("a").ended();
  }
}
