package io.epidote.cli.chaos;

/** A fault that was done. Times are {@link System#nanoTime}. */
public final class FaultRecord {
  private final Fault fault;
  private final long at;
  private final long start;
  private final int atWork;
  private volatile long overAt;
  private volatile String note = "";

  FaultRecord(Fault fault, long at, long start, int atWork) {
    this.fault = fault;
    this.at = at;
    this.start = start;
    this.atWork = atWork;
  }

  void note(String text) {
    note = text;
  }

  void over() {
    overAt = System.nanoTime();
  }

  public Fault fault() {
    return fault;
  }

  public long at() {
    return at;
  }

  /** Seconds from the start of the load. */
  public double seconds() {
    return (at - start) / 1e9;
  }

  /** Seconds until it was undone: processes were back, connections whole. */
  public double lasted() {
    return overAt == 0 ? 0 : (overAt - at) / 1e9;
  }

  /** Requests that were at work when it was done. */
  public int atWork() {
    return atWork;
  }

  /** What else there is to say; empty for nothing. */
  public String note() {
    return note;
  }

  /** Whether it was done to something that an answer used while it was made. */
  boolean hit(Attempt attempt) {
    return at >= attempt.due()
        && at <= attempt.endedAt()
        && (fault.targets().isEmpty() || fault.targets().stream().anyMatch(attempt::named));
  }
}
