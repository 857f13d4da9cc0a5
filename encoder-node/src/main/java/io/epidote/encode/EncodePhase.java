package io.epidote.encode;

/** Where an encode request is. */
enum EncodePhase {
  /** Waits in line for a block for each of its tiles. */
  RESERVING,
  /** Has its blocks; images are being decoded and tiles encoded. */
  ENCODING,
  /** All tiles are announced; waits for their release. */
  LEASED,
  /** Over; holds nothing but leases that are still pinned by a pull. */
  ENDED;

  boolean mayBecome(EncodePhase next) {
    return next == ENDED ? this != ENDED : next.ordinal() == ordinal() + 1;
  }
}
