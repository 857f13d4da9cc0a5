package io.epidote.router.access;

import io.epidote.engine.error.EpidoteException.Exhausted;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.LongSupplier;

/**
 * Holds tenants to their limits: token buckets of requests and of tokens, a quota for a day, and a
 * number at a time. Tokens are counted as they are used, not as they are asked for, so a bucket may
 * be in debt, which the tenant waits out before its next request. Each router counts for itself.
 * Thread-safe.
 */
public final class TenantRates {
  /** A bucket holds so many seconds of its rate. */
  static final double BURST_SECONDS = 10;

  private static final double NANOS = 1e9;

  private final Function<String, TenantLimits> limits;
  private final LongSupplier nanos;
  private final LongSupplier epochMillis;
  private final Map<String, Account> accounts = new ConcurrentHashMap<>();

  /**
   * @param limits of a tenant, at the moment
   * @param nanos monotonic clock
   * @param epochMillis clock of the day
   */
  public TenantRates(
      Function<String, TenantLimits> limits, LongSupplier nanos, LongSupplier epochMillis) {
    this.limits = limits;
    this.nanos = nanos;
    this.epochMillis = epochMillis;
  }

  /** What a request uses. */
  public interface Use {
    /** Of somebody without limits. */
    Use FREE =
        new Use() {
          @Override
          public void tokens(int count) {}

          @Override
          public void ended() {}
        };

    /** More tokens, of its prompt or its answer. */
    void tokens(int count);

    /** The request is over; to be called once. */
    void ended();
  }

  /**
   * Lets a request of a tenant begin.
   *
   * @throws Exhausted when it has to wait, says for how long
   */
  public Use begin(String tenant) {
    TenantLimits now = limits.apply(tenant);
    if (now.equals(TenantLimits.NONE)) {
      return Use.FREE;
    }
    Account account = accounts.computeIfAbsent(tenant, _ -> new Account());
    account.begin(tenant, now);
    return account;
  }

  private final class Account implements Use {
    private static final long DAY_MILLIS = 86_400_000;

    private long updatedNanos = nanos.getAsLong();
    private double requests = Double.POSITIVE_INFINITY;
    private double tokens = Double.POSITIVE_INFINITY;
    private long day;
    private long tokensToday;
    private int running;

    private synchronized void begin(String tenant, TenantLimits may) {
      refill(may);
      if (may.concurrent() > 0 && running >= may.concurrent()) {
        throw refused(tenant, "%d requests at a time".formatted(may.concurrent()), 1);
      }
      if (may.requestsPerSecond() > 0 && requests < 1) {
        throw refused(
            tenant,
            "%s requests a second".formatted(may.requestsPerSecond()),
            (1 - requests) / may.requestsPerSecond());
      }
      if (may.tokensPerSecond() > 0 && tokens <= 0) {
        throw refused(
            tenant,
            "%s tokens a second".formatted(may.tokensPerSecond()),
            (1 - tokens) / may.tokensPerSecond());
      }
      if (may.tokensPerDay() > 0 && tokensToday >= may.tokensPerDay()) {
        long left = DAY_MILLIS - Math.floorMod(epochMillis.getAsLong(), DAY_MILLIS);
        throw refused(tenant, "%d tokens a day".formatted(may.tokensPerDay()), left / 1000.0);
      }
      requests--;
      running++;
    }

    private void refill(TenantLimits may) {
      long now = nanos.getAsLong();
      double seconds = (now - updatedNanos) / NANOS;
      updatedNanos = now;
      requests = filled(requests, may.requestsPerSecond(), seconds);
      tokens = filled(tokens, may.tokensPerSecond(), seconds);
      long today = Math.floorDiv(epochMillis.getAsLong(), DAY_MILLIS);
      if (today != day) {
        day = today;
        tokensToday = 0;
      }
    }

    /** A rate below a tenth of a request a second still lets one come at a time. */
    private static double filled(double level, double rate, double seconds) {
      return rate == 0
          ? Double.POSITIVE_INFINITY
          : Math.min(Math.max(1, rate * BURST_SECONDS), level + rate * seconds);
    }

    private static Exhausted refused(String tenant, String limit, double seconds) {
      return new Exhausted(
          "The tenant \"%s\" has reached its limit of %s; try again after the time that the response names."
              .formatted(tenant, limit),
          Duration.ofMillis((long) Math.ceil(seconds * 1000)));
    }

    @Override
    public synchronized void tokens(int count) {
      tokens -= count;
      tokensToday += count;
    }

    @Override
    public synchronized void ended() {
      running--;
    }
  }
}
