package io.epidote.engine.tier;

/** An adapter's weights, as far as their place is concerned. */
public interface TieredWeights {
  /** Of its file, all of which a hot adapter has in memory. */
  long bytes();

  /** Expert slots that it takes, in all layers together. */
  int slots();

  /** Reads all of it in; any thread, and as long as the disk takes. */
  void readIn();

  /** Lets its pages leave memory; what other processes use of them stays theirs. */
  void drop();

  /** Takes expert slots: steps can run with it from then on. */
  void place();

  /** Gives the slots back; no step runs with it any more. */
  void displace();
}
