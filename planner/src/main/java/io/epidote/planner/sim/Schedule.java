package io.epidote.planner.sim;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * When requests are sent, whether others are answered or not.
 *
 * @param sendings in the order of time
 * @param warmUp of these, the first ones, which are not counted
 */
public record Schedule(List<Sending> sendings, int warmUp) {
  /**
   * @param ms since the beginning, in the devices' time
   */
  public record Sending(double ms, Request request) {}

  public Schedule {
    sendings = List.copyOf(sendings);
  }

  /**
   * Requests that arrive at random, after some that come one by one while nodes learn what they
   * cost.
   *
   * @param mix of which each request is one, equally likely
   * @param rate requests a second
   * @param count of requests that are counted
   * @param warmUp requests before them
   * @param apartMs between those
   * @param seed decides all that is random
   */
  public static Schedule poisson(
      List<Request> mix, double rate, int count, int warmUp, double apartMs, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    List<Sending> sendings = new ArrayList<>(warmUp + count);
    for (int i = 0; i < warmUp; i++) {
      sendings.add(new Sending(i * apartMs, any(mix, random)));
    }
    double ms = warmUp * apartMs;
    for (int i = 0; i < count; i++) {
      ms += apartMs(rate, random);
      sendings.add(new Sending(ms, any(mix, random)));
    }
    return new Schedule(sendings, warmUp);
  }

  /**
   * Requests that arrive at random, in their order; all are counted.
   *
   * @param rate requests a second
   * @param seed decides when
   */
  public static Schedule poisson(List<Request> requests, double rate, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    List<Sending> sendings = new ArrayList<>(requests.size());
    double ms = 0;
    for (Request request : requests) {
      ms += apartMs(rate, random);
      sendings.add(new Sending(ms, request));
    }
    return new Schedule(sendings, 0);
  }

  private static double apartMs(double rate, SplittableRandom random) {
    return -Math.log(1 - random.nextDouble()) / rate * 1000;
  }

  private static Request any(List<Request> mix, SplittableRandom random) {
    return mix.get(random.nextInt(mix.size()));
  }
}
