package io.epidote.cli.load;

import java.util.SplittableRandom;

/** When requests arrive. */
public sealed interface Arrivals {
  /** A closed loop: each client sends its next request when its last answer has ended. */
  record Clients(int clients) implements Arrivals {
    @Override
    public String toString() {
      return clients + (clients == 1 ? " client" : " clients");
    }
  }

  /** An open loop: requests arrive whether others are answered or not. */
  sealed interface Open extends Arrivals {
    /** Requests a second, or 0 where that is not known. */
    double rate();

    /**
     * Seconds from one request's arrival to the next one's.
     *
     * @param next the request that arrives then
     */
    double gap(int index, LoadRequest next, SplittableRandom random);
  }

  /** Independent arrivals: gaps are exponentially distributed. */
  record Poisson(double rate) implements Open {
    @Override
    public double gap(int index, LoadRequest next, SplittableRandom random) {
      return -Math.log(1 - random.nextDouble()) / rate;
    }

    @Override
    public String toString() {
      return "%.3g requests/s, Poisson".formatted(rate);
    }
  }

  /**
   * As many requests at a moment, moments are independent.
   *
   * @param rate over all
   */
  record Bursts(double rate, int size) implements Open {
    @Override
    public double gap(int index, LoadRequest next, SplittableRandom random) {
      return index % size == 0 ? -Math.log(1 - random.nextDouble()) / rate * size : 0;
    }

    @Override
    public String toString() {
      return "%.3g requests/s in bursts of %d".formatted(rate, size);
    }
  }

  /**
   * As a workload's own times say.
   *
   * @param speed how many times faster
   */
  final class Trace implements Open {
    private final double speed;
    private double last;

    /**
     * @param speed how many times faster than it happened
     */
    public Trace(double speed) {
      this.speed = speed;
    }

    @Override
    public double rate() {
      return 0;
    }

    @Override
    public double gap(int index, LoadRequest next, SplittableRandom random) {
      double at = next.atSeconds().orElse(last);
      double gap = Math.max(0, at - last) / speed;
      last = Math.max(last, at);
      return gap;
    }

    @Override
    public String toString() {
      return "a trace, %.3g times as fast".formatted(speed);
    }
  }
}
