package io.epidote.router.request;

/**
 * How much later than predicted first tokens come where requests wait for others: the factor below
 * which 97 of 100 stay, by stochastic approximation of a quantile (Robbins and Monro, 1951). Who
 * refuses what is predicted to be late without it admits just as many as will be late. Thread-safe.
 */
final class FirstTokenMargin {
  private static final double QUANTILE = 0.97;
  private static final double STEP = 0.05;
  private static final double MOST = 4;

  private double factor = 1;

  synchronized double factor() {
    return factor;
  }

  /**
   * A first token came.
   *
   * @param predictedMs from when its nodes were chosen
   * @param actualMs likewise
   */
  synchronized void came(double predictedMs, double actualMs) {
    if (predictedMs > 0) {
      double step = actualMs > factor * predictedMs ? QUANTILE : QUANTILE - 1;
      factor = Math.clamp(factor + STEP * step, 1, MOST);
    }
  }
}
