package io.epidote.prefill;

/**
 * What passes between two steps although there is work: the turns of other stages of the node.
 * Belongs to the engine thread.
 */
public final class Pauses {
  /** Of the latest one. */
  private static final double WEIGHT = 0.125;

  private boolean busy;
  private long endedAt;
  private double ms;

  /** There is nothing to run. */
  public void idle() {
    busy = false;
  }

  /** A step begins. */
  public void begin(long nanos) {
    if (busy) {
      ms += WEIGHT * ((nanos - endedAt) / 1e6 - ms);
    }
  }

  /** It is over; the next one may begin at once, as far as this stage goes. */
  public void end(long nanos) {
    busy = true;
    endedAt = nanos;
  }

  /** Milliseconds of a pause, of late. */
  public double ms() {
    return ms;
  }
}
