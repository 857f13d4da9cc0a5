package io.epidote.planner;

/** The highest rate at which enough requests are fast enough, found by bisection. */
public final class Goodput {
  /** Whether a plan serves so many requests a second well. */
  public interface Trial {
    boolean meets(Plan plan, double rate);
  }

  private final Trial trial;
  private final double exact;

  /**
   * @param exact relative width of the interval that the search ends with
   */
  public Goodput(Trial trial, double exact) {
    this.trial = trial;
    this.exact = exact;
  }

  /**
   * Requests a second; 0 when hardly any rate is served well.
   *
   * @param most that can be, for example {@link Capacity#rate}
   */
  public double of(Plan plan, double most) {
    double good = 0;
    double bad = most;
    // Most are between a half and all of it.
    double rate = 0.8 * most;
    while (bad > most / 256 && bad - good > exact * bad) {
      if (trial.meets(plan, rate)) {
        good = rate;
      } else {
        bad = rate;
      }
      rate = good > 0 ? (good + bad) / 2 : bad / 2;
    }
    return good;
  }
}
