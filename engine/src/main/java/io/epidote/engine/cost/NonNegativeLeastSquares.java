package io.epidote.engine.cost;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Least squares with coefficients of at least 0, by the active-set method of Lawson and Hanson
 * (Solving Least Squares Problems, 1974, chapter 23) on the normal equations, which are small here:
 * one row for each term of a cost. Columns are scaled, because terms differ by many powers of ten.
 */
final class NonNegativeLeastSquares {
  /** Of a scaled gradient, whose largest possible value is 1. */
  private static final double TOLERANCE = 1e-9;

  /** Of what is left of a scaled column beside the others: a copy of them tells nothing. */
  private static final double SINGULAR = 1e-10;

  private final double[][] gram;
  private final double[] moment;
  private final double[] scale;
  private final boolean[] passive;

  private NonNegativeLeastSquares(double[][] gram, double[] moment) {
    int terms = moment.length;
    this.scale = new double[terms];
    this.gram = new double[terms][terms];
    this.moment = new double[terms];
    this.passive = new boolean[terms];
    for (int i = 0; i < terms; i++) {
      scale[i] = gram[i][i] > 0 ? 1 / Math.sqrt(gram[i][i]) : 0;
    }
    for (int i = 0; i < terms; i++) {
      this.moment[i] = moment[i] * scale[i];
      for (int j = 0; j < terms; j++) {
        this.gram[i][j] = gram[i][j] * scale[i] * scale[j];
      }
    }
  }

  /**
   * The coefficients x of least (Ax - b)².
   *
   * @param gram {@code AᵀA}, {@code [terms, terms]}
   * @param moment {@code Aᵀb}, {@code [terms]}
   * @return at least 0 each; 0 of a term that was never there
   */
  static double[] solve(double[][] gram, double[] moment) {
    return new NonNegativeLeastSquares(gram, moment).solve();
  }

  private double[] solve() {
    double[] x = new double[moment.length];
    double enough = TOLERANCE * Arrays.stream(moment).map(Math::abs).max().orElse(0);
    boolean[] refused = new boolean[moment.length];
    for (int best = steepest(x, refused, enough); best >= 0; best = steepest(x, refused, enough)) {
      passive[best] = true;
      double[] wanted = solvePassive();
      if (wanted == null || wanted[best] <= 0) {
        // A copy of other columns, or no more than rounding.
        passive[best] = false;
        refused[best] = true;
        continue;
      }
      Arrays.fill(refused, false);
      x = feasible(x, wanted);
    }
    for (int i = 0; i < x.length; i++) {
      x[i] *= scale[i];
    }
    return x;
  }

  /** The term at 0 that would lower the error most, or -1 when none would. */
  private int steepest(double[] x, boolean[] refused, double enough) {
    int best = -1;
    double most = enough;
    for (int i = 0; i < x.length; i++) {
      double gradient = moment[i];
      for (int j = 0; j < x.length; j++) {
        gradient -= gram[i][j] * x[j];
      }
      if (!passive[i] && !refused[i] && scale[i] > 0 && gradient > most) {
        best = i;
        most = gradient;
      }
    }
    return best;
  }

  /** Goes from x towards what is wanted, letting go of each term that becomes 0 on the way. */
  private double[] feasible(double[] from, double[] wanted) {
    double[] x = from;
    double[] target = wanted;
    while (true) {
      double part = 1;
      for (int i = 0; i < x.length; i++) {
        if (passive[i] && target[i] <= 0) {
          part = Math.min(part, x[i] / (x[i] - target[i]));
        }
      }
      double[] next = new double[x.length];
      boolean whole = part == 1;
      for (int i = 0; i < x.length; i++) {
        next[i] = passive[i] ? x[i] + part * (target[i] - x[i]) : 0;
        if (!whole && passive[i] && next[i] <= TOLERANCE) {
          next[i] = 0;
          passive[i] = false;
        }
      }
      x = next;
      if (whole) {
        return x;
      }
      double[] again = solvePassive();
      if (again == null) {
        return x;
      }
      target = again;
    }
  }

  /** Without the bound, over the terms that are not held at 0, by Cholesky; null if singular. */
  private double @Nullable [] solvePassive() {
    int[] terms = new int[moment.length];
    int count = 0;
    for (int i = 0; i < moment.length; i++) {
      if (passive[i]) {
        terms[count++] = i;
      }
    }
    double[][] lower = new double[count][count];
    double[] y = new double[count];
    for (int i = 0; i < count; i++) {
      for (int j = 0; j <= i; j++) {
        double sum = gram[terms[i]][terms[j]];
        for (int k = 0; k < j; k++) {
          sum -= lower[i][k] * lower[j][k];
        }
        if (i == j && sum <= SINGULAR) {
          return null;
        }
        lower[i][j] = i == j ? Math.sqrt(sum) : sum / lower[j][j];
      }
      double sum = moment[terms[i]];
      for (int k = 0; k < i; k++) {
        sum -= lower[i][k] * y[k];
      }
      y[i] = sum / lower[i][i];
    }
    double[] x = new double[moment.length];
    for (int i = count - 1; i >= 0; i--) {
      double sum = y[i];
      for (int k = i + 1; k < count; k++) {
        sum -= lower[k][i] * x[terms[k]];
      }
      x[terms[i]] = sum / lower[i][i];
    }
    return x;
  }
}
