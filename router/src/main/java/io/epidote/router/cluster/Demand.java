package io.epidote.router.cluster;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * What requests have asked for of late: how many came, and what each needs of every stage. Answers'
 * lengths are guessed from the limit that a request has and from how long answers were.
 * Thread-safe.
 *
 * <p>Of late means as long as the load is the same, up to three minutes: what a few seconds bring
 * differs by chance, and who acts on that is always wrong. The load has changed when the last
 * seconds differ from those before by more than random arrivals explain (a sum of Poisson arrivals
 * with marks has the variance of rate times mean square); then only they count.
 */
public final class Demand {
  private static final int SECONDS = 180;

  /** What is compared with the time before it. */
  private static final int[] LATEST_SECONDS = {5, 10, 30};

  /** In which a load is looked at as one that goes up and down. */
  private static final int PIECE_SECONDS = 5;

  /** Seconds before them that must be known. */
  private static final int LEAST_BEFORE = 10;

  /** Standard deviations that are no chance: arrivals have heavier tails than a normal sum. */
  private static final double SURPRISE = 5;

  /** And so many times more than as many seconds ever did of the same load. */
  private static final double RECORD = 2.0;

  private static final double USUAL_ANSWER = 256;

  /** Weight of the latest answer in the mean length. */
  private static final double LATEST = 0.05;

  /**
   * What arrived, each on average over the time of the same load.
   *
   * @param requestsS requests a second
   * @param pictures of a request; likewise the others
   * @param tiles to encode
   * @param promptTokens media tokens included
   * @param answerTokens as guessed
   * @param seconds of that time
   * @param pieces what each few seconds of that time brought; empty where there were but a few
   */
  public record Rates(
      double requestsS,
      double pictures,
      double tiles,
      double promptTokens,
      double answerTokens,
      double seconds,
      List<Rates> pieces) {
    static final Rates NONE = new Rates(0, 0, 0, 0, 0, 0);

    public Rates(
        double requestsS,
        double pictures,
        double tiles,
        double promptTokens,
        double answerTokens,
        double seconds) {
      this(requestsS, pictures, tiles, promptTokens, answerTokens, seconds, List.of());
    }

    /** A standard deviation more of them than was seen: what may come, if these came by chance. */
    public Rates atMost() {
      return times(1 + 1 / Math.sqrt(seen()));
    }

    /** Likewise one less. */
    public Rates atLeast() {
      return times(1 - 1 / Math.sqrt(seen()));
    }

    private double seen() {
      return Math.max(1, requestsS * seconds);
    }

    private Rates times(double factor) {
      return new Rates(
          factor * requestsS, pictures, tiles, promptTokens, answerTokens, seconds, pieces);
    }
  }

  /** What is counted of a request; the first is 1. */
  private enum What {
    REQUESTS,
    PICTURES,
    TILES,
    PROMPT_TOKENS,
    ANSWER_TOKENS
  }

  private static final class Second {
    private long number = -1;
    private final double[] sums = new double[What.values().length];
    private final double[] squares = new double[What.values().length];
  }

  private final LongSupplier clock;
  private final Second[] seconds = new Second[SECONDS + 1];

  /** The second from which on the load has been the same. */
  private long sameSince = Long.MAX_VALUE;

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
    long number = number();
    sameSince = Math.min(sameSince, number);
    Second second = seconds[Math.floorMod(number, seconds.length)];
    if (second.number != number) {
      second.number = number;
      Arrays.fill(second.sums, 0);
      Arrays.fill(second.squares, 0);
    }
    double answer = exact ? maxTokens : Math.min(maxTokens, meanAnswer);
    double[] marks = {1, pictures, tiles, promptTokens, answer};
    for (int what = 0; what < marks.length; what++) {
      second.sums[what] += marks[what];
      second.squares[what] += marks[what] * marks[what];
    }
  }

  private long number() {
    return Math.floorDiv(clock.getAsLong(), 1_000_000_000L);
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

  /** Of all routers, the second that is not over left out. */
  public synchronized Rates rates() {
    long now = number();
    sameSince = Math.max(sameSince, sameSince == Long.MAX_VALUE ? sameSince : now - SECONDS);
    for (int latest : LATEST_SECONDS) {
      if (hasChanged(now, latest)) {
        sameSince = now - latest;
      }
    }
    List<Rates> pieces = new ArrayList<>();
    if (now - sameSince >= 2 * PIECE_SECONDS) {
      for (long to = now; to - PIECE_SECONDS >= sameSince; to -= PIECE_SECONDS) {
        pieces.add(rates(to - PIECE_SECONDS, to, List.of()));
      }
    }
    return rates(sameSince, now, pieces);
  }

  private Rates rates(long from, long to, List<Rates> pieces) {
    double[] sums = sums(from, to, false);
    double n = sums[What.REQUESTS.ordinal()];
    if (n == 0) {
      return Rates.NONE;
    }
    double length = Math.max(1, to - from);
    return new Rates(
        routers * n / length,
        sums[What.PICTURES.ordinal()] / n,
        sums[What.TILES.ordinal()] / n,
        sums[What.PROMPT_TOKENS.ordinal()] / n,
        sums[What.ANSWER_TOKENS.ordinal()] / n,
        length,
        pieces);
  }

  /** Whether the latest seconds brought more or less than those before make likely. */
  private boolean hasChanged(long now, int latest) {
    double before = now - latest - sameSince;
    if (before < LEAST_BEFORE) {
      return false;
    }
    double[] sums = sums(sameSince, now - latest, false);
    // Of both, so that one request of a new kind is no change.
    double[] squares = sums(sameSince, now, true);
    double[] came = sums(now - latest, now, false);
    for (int what = 0; what < sums.length; what++) {
      double expected = sums[what] / before * latest;
      double variance = squares[what] / (before + latest);
      double deviation = Math.sqrt(variance * latest * (1 + latest / before));
      double away = Math.abs(came[what] - expected);
      if (away > SURPRISE * deviation
          && away > RECORD * record(what, now - latest, latest, expected)) {
        return true;
      }
    }
    return false;
  }

  /**
   * By how much as many seconds have differed at the most since the load is the same. What goes up
   * and down all the time does not change by going up.
   */
  private double record(int what, long before, int length, double expected) {
    double most = 0;
    for (long from = sameSince; from + length <= before; from++) {
      most = Math.max(most, Math.abs(sums(from, from + length, false)[what] - expected));
    }
    return most;
  }

  /** Of the seconds from one to before another. */
  private double[] sums(long from, long to, boolean squares) {
    double[] sums = new double[What.values().length];
    for (Second second : seconds) {
      if (second.number >= from && second.number < to) {
        double[] of = squares ? second.squares : second.sums;
        for (int what = 0; what < sums.length; what++) {
          sums[what] += of[what];
        }
      }
    }
    return sums;
  }
}
