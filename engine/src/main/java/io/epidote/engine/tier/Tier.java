package io.epidote.engine.tier;

import java.util.Locale;

/** Where an adapter is. */
public enum Tier {
  /** Its experts have slots: steps can run with it. */
  HOT,
  /** Read in, without slots. */
  WARM,
  /** In a mapped file, of which nothing needs to be in memory. */
  COLD;

  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }
}
