package io.epidote.trainer;

/**
 * Learning rates: a linear rise, then down along a cosine.
 *
 * @param steps optimizer steps
 * @param rate highest learning rate
 * @param finalRate learning rate at the last step
 * @param warmup steps of linear rise
 */
record Schedule(int steps, double rate, double finalRate, int warmup) {
  /** The learning rate of a step, counted from 1. */
  double rate(int step) {
    if (step < warmup) {
      return rate * step / warmup;
    }
    double part = (step - warmup) / (double) Math.max(1, steps - warmup);
    return finalRate + (rate - finalRate) * 0.5 * (1 + Math.cos(Math.PI * part));
  }
}
