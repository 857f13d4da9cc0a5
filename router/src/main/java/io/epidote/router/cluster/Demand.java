package io.epidote.router.cluster;

import java.util.function.LongSupplier;

/**
 * What requests have asked for of late: how many came, and what each needs of every stage. Answers'
 * lengths are guessed from the limit that a request has and from how long answers were.
 * Thread-safe.
 */
public final class Demand {
  private static final int SECONDS = 10;
  private static final double USUAL_ANSWER = 256;

  /** Weight of the latest answer in the mean length. */
  private static final double LATEST = 0.05;

  /**
   * What arrived, each over the last seconds.
   *
   * @param requestsS requests a second
   * @param pictures of a request, on average; likewise the others
   * @param tiles to encode
   * @param promptTokens media tokens included
   * @param answerTokens as guessed
   */
  public record Rates(
      double requestsS, double pictures, double tiles, double promptTokens, double answerTokens) {
    static final Rates NONE = new Rates(0, 0, 0, 0, 0);
  }

  private static final class Second {
    private long number = -1;
    private int requests;
    private long pictures;
    private long tiles;
    private long promptTokens;
    private double answerTokens;
  }

  private final LongSupplier clock;
  private final Second[] seconds = new Second[SECONDS + 1];
  private long firstNanos;
  private boolean begun;
  private double meanAnswer = USUAL_ANSWER;
  private int routers = 1;

  /**
   * @param clock in nanoseconds
   */
  Demand(LongSupplier clock) {
    this.clock = clock;
    for (int i = 0; i < seconds.length; i++) {
      seconds[i] = new Second();
    }
  }

  /**
   * A request comes.
   *
   * @param maxTokens of its answer
   * @param exact whether the answer has as many as that
   */
  public synchronized void arrived(
      int pictures, int tiles, int promptTokens, int maxTokens, boolean exact) {
    long now = clock.getAsLong();
    if (!begun) {
      begun = true;
      firstNanos = now;
    }
    Second second = second(now);
    second.requests++;
    second.pictures += pictures;
    second.tiles += tiles;
    second.promptTokens += promptTokens;
    second.answerTokens += exact ? maxTokens : Math.min(maxTokens, meanAnswer);
  }

  /**
   * Of so many routers this is one, and each sees as much.
   *
   * @param count at least 1
   */
  public synchronized void among(int count) {
    routers = count;
  }

  /** An answer ended by itself. */
  public synchronized void answered(int tokens) {
    meanAnswer += LATEST * (tokens - meanAnswer);
  }

  private Second second(long now) {
    long number = now / 1_000_000_000;
    Second second = seconds[Math.floorMod(number, seconds.length)];
    if (second.number != number) {
      second.number = number;
      second.requests = 0;
      second.pictures = 0;
      second.tiles = 0;
      second.promptTokens = 0;
      second.answerTokens = 0;
    }
    return second;
  }

  /** Of all routers, over the last ten seconds, the one that is not over left out. */
  public synchronized Rates rates() {
    long now = clock.getAsLong();
    long number = now / 1_000_000_000;
    Second sum = new Second();
    for (Second second : seconds) {
      if (second.number < number && second.number >= number - SECONDS) {
        sum.requests += second.requests;
        sum.pictures += second.pictures;
        sum.tiles += second.tiles;
        sum.promptTokens += second.promptTokens;
        sum.answerTokens += second.answerTokens;
      }
    }
    if (sum.requests == 0) {
      return Rates.NONE;
    }
    long since = number - firstNanos / 1_000_000_000;
    double n = sum.requests;
    return new Rates(
        routers * n / Math.clamp(since, 1, SECONDS),
        sum.pictures / n,
        sum.tiles / n,
        sum.promptTokens / n,
        sum.answerTokens / n);
  }
}
