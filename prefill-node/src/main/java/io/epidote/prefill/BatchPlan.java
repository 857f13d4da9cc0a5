package io.epidote.prefill;

import java.util.List;

/**
 * Decides how many of the prompts whose turns are next share a step. All of a step's prompts get
 * their first tokens at its end, so that a prompt which joins keeps the others waiting for as long
 * as its tokens take, and saves the fixed part of a step of its own.
 *
 * <p>A dynamic programme over the places where the row of prompts may be cut into batches: the best
 * way from a place on is the best of all batches that begin there, each followed by the best way
 * from its end. What counts is the sum of the times to first token, and so their mean. The idea is
 * of Du et al., "EnergonAI" (2022), section 4.2, who cut prompts in order of length so that little
 * is padded; nothing is padded here, and the row is in the stage's order.
 *
 * @param fixedMs of a step, and what passes until the next one can begin
 * @param tokenMs of a prompt token
 */
public record BatchPlan(double fixedMs, double tokenMs) {
  /** Prompts that are looked at; the others are only counted. */
  private static final int MOST = 32;

  /** What a plan must save of the time that it takes to run as many together as fit. */
  private static final double WORTHWHILE = 0.95;

  /**
   * A prompt.
   *
   * @param left tokens that are not computed
   * @param chunk of these, in a step at the most
   */
  public record Prompt(int left, int chunk) {
    private int at(int step) {
      return Math.clamp(left - (long) step * chunk, 0, chunk);
    }
  }

  /**
   * How a batch goes from its first step to its last.
   *
   * @param sumMs of its prompts' times until they are done
   * @param allMs until the last is
   */
  private record Batch(double sumMs, double allMs) {}

  /**
   * Prompts from the first on for the next step, at least one.
   *
   * @param row in the order of their turns
   * @param budget tokens of a step
   * @param most prompts of a step
   */
  public int next(List<Prompt> row, int budget, int most) {
    int together = fitting(row, 0, budget, most);
    if (together < 2 || tokenMs == 0) {
      return together;
    }
    int count = Math.min(row.size(), MOST);
    double[] best = new double[count + 1];
    double[] greedy = new double[count + 1];
    int cut = together;
    for (int first = count - 1; first >= 0; first--) {
      int fits = Math.min(fitting(row, first, budget, most), count - first);
      best[first] = Double.MAX_VALUE;
      for (int size = 1; size <= fits; size++) {
        Batch batch = run(row.subList(first, first + size));
        double delay = batch.allMs() * (row.size() - first - size);
        double ms = batch.sumMs() + delay + best[first + size];
        if (ms < best[first]) {
          best[first] = ms;
          cut = size;
        }
        greedy[first] = batch.sumMs() + delay + greedy[first + size];
      }
    }
    return best[0] < WORTHWHILE * greedy[0] ? cut : together;
  }

  private static int fitting(List<Prompt> row, int first, int budget, int most) {
    int tokens = 0;
    int last = first;
    while (last < row.size() && last - first < most && tokens + row.get(last).chunk() <= budget) {
      tokens += row.get(last++).chunk();
    }
    return last - first;
  }

  private Batch run(List<Prompt> batch) {
    double sum = 0;
    double ms = 0;
    int running = batch.size();
    for (int step = 0; running > 0; step++) {
      int tokens = 0;
      int done = 0;
      for (Prompt prompt : batch) {
        int chunk = prompt.at(step);
        tokens += chunk;
        done += chunk > 0 && prompt.at(step + 1) == 0 ? 1 : 0;
      }
      ms += fixedMs + tokenMs * tokens;
      sum += done * ms;
      running -= done;
    }
    return new Batch(sum, ms);
  }
}
