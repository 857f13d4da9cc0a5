package io.epidote.cli.chaos;

/** What is between the members of a cluster. Safe for use by many threads. */
public interface Network {
  /** Whether there is anything that can do a fault of this kind. */
  boolean does(FaultKind kind);

  /** For messages: what to add so that such faults can be done. */
  String needs(FaultKind kind);

  /** Begins a fault. */
  void begin(Fault fault);

  /** Ends it; one that was over at once is passed over. */
  void end(Fault fault);
}
