package io.epidote.node.kv;

import java.util.Arrays;

/**
 * Foretells how long an answer gets from how long the latest answers were: of those that were
 * longer than this one is already, a high quantile. Belongs to the engine thread.
 *
 * <p>The idea of admitting by past lengths is of Gong et al., "Past-Future Scheduler for LLM
 * Serving under SLA Guarantees" (ASPLOS 2025), section 3; they draw from the distribution, where a
 * quantile gives the same answer to the same question.
 */
public final class AnswerLengths {
  private static final int WINDOW = 512;

  /** With fewer answers than this the bound is the better guess. */
  private static final int ENOUGH = 16;

  private static final double QUANTILE = 0.9;

  private final int[] latest = new int[WINDOW];
  private final int[] sorted = new int[WINDOW];
  private int count;
  private int oldest;

  /** An answer ended with this many tokens. */
  public void ended(int tokens) {
    if (count == WINDOW) {
      int gone = Arrays.binarySearch(sorted, 0, count, latest[oldest]);
      System.arraycopy(sorted, gone + 1, sorted, gone, count - gone - 1);
      count--;
    }
    latest[oldest] = tokens;
    oldest = (oldest + 1) % WINDOW;
    int at = firstAbove(tokens);
    System.arraycopy(sorted, at, sorted, at + 1, count - at);
    sorted[at] = tokens;
    count++;
  }

  /**
   * Tokens that an answer will probably still get, at least 1 unless it is at its bound.
   *
   * @param generated tokens that it has
   * @param bound most tokens that it may get
   */
  public int left(int generated, int bound) {
    int longer = firstAbove(generated);
    if (count < ENOUGH || longer == count) {
      return bound - generated;
    }
    int likely = sorted[longer + (int) (QUANTILE * (count - 1 - longer))];
    return Math.min(likely, bound) - generated;
  }

  private int firstAbove(int tokens) {
    int low = 0;
    int high = count;
    while (low < high) {
      int middle = (low + high) >>> 1;
      if (sorted[middle] <= tokens) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}
