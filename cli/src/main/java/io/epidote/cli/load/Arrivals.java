package io.epidote.cli.load;

import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.DoubleStream;

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
      return draw(random);
    }

    private double draw(SplittableRandom random) {
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

  /** Independent arrivals at rates that change, drawn ahead. */
  final class Steps implements Open {
    private final double[] gaps;
    private final double rate;

    /**
     * A rate for some time.
     *
     * @param rate requests a second
     */
    public record Step(double rate, double seconds) {}

    public Steps(List<Step> steps, long seed) {
      SplittableRandom random = new SplittableRandom(seed);
      DoubleStream.Builder drawn = DoubleStream.builder();
      double from = 0;
      double last = 0;
      int count = 0;
      for (Step step : steps) {
        Poisson arrivals = new Poisson(step.rate());
        // What a gap lacks at the end of a step is drawn anew: arrivals have no memory.
        for (double at = from + arrivals.draw(random);
            at < from + step.seconds();
            at += arrivals.draw(random)) {
          drawn.add(at - last);
          last = at;
          count++;
        }
        from += step.seconds();
      }
      gaps = drawn.build().toArray();
      rate = count / from;
    }

    /** Requests in all. */
    public int count() {
      return gaps.length;
    }

    @Override
    public double rate() {
      return rate;
    }

    @Override
    public double gap(int index, LoadRequest next, SplittableRandom random) {
      return gaps[index];
    }

    @Override
    public String toString() {
      return "%.3g requests/s, changing".formatted(rate);
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
