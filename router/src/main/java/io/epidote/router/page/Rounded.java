package io.epidote.router.page;

/** Numbers for a page: digits beyond the fourth are noise and bytes. */
final class Rounded {
  private static final double[] POWERS = {1e0, 1e1, 1e2, 1e3, 1e4};

  private Rounded() {}

  static double of(double value) {
    double size = Math.abs(value);
    double power = size >= 1000 ? 1 : POWERS[size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4];
    return Math.rint(value * power) / power;
  }
}
