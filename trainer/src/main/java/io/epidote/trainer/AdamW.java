package io.epidote.trainer;

/**
 * AdamW over one flat array, with the gradient clipped by its norm. Plain loops: the compiler
 * vectorises them.
 */
final class AdamW {
  private static final float BETA1 = 0.9f;
  private static final float BETA2 = 0.98f;
  private static final float EPS = 1e-8f;
  private static final float DECAY = 0.02f;
  private static final double CLIP = 1.0;

  final float[] first;
  final float[] second;
  private final float[] decayed;
  long step;

  /**
   * A fresh optimizer.
   *
   * @param decayed 1 for parameters with weight decay, 0 for others
   */
  AdamW(float[] decayed) {
    this.decayed = decayed;
    this.first = new float[decayed.length];
    this.second = new float[decayed.length];
  }

  /**
   * Changes the parameters from {@code from} to {@code to}; returns the norm of the gradient before
   * clipping.
   */
  double update(float[] parameters, float[] gradient, float rate, int from, int to) {
    double sum = 0;
    for (int i = from; i < to; i++) {
      sum += (double) gradient[i] * gradient[i];
    }
    double norm = Math.sqrt(sum);
    if (!Double.isFinite(norm)) {
      throw new IllegalStateException("the gradient is not finite at step " + step);
    }
    float scale = (float) (norm > CLIP ? CLIP / norm : 1);
    step++;
    float bias1 = (float) (1 / (1 - Math.pow(BETA1, step)));
    float bias2 = (float) (1 / (1 - Math.pow(BETA2, step)));
    for (int i = from; i < to; i++) {
      float g = gradient[i] * scale;
      float m = BETA1 * first[i] + (1 - BETA1) * g;
      float v = BETA2 * second[i] + (1 - BETA2) * g * g;
      first[i] = m;
      second[i] = v;
      float change = m * bias1 / ((float) Math.sqrt(v * bias2) + EPS);
      parameters[i] -= rate * (change + DECAY * decayed[i] * parameters[i]);
    }
    return norm;
  }
}
