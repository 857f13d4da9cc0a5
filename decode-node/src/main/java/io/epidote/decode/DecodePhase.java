package io.epidote.decode;

/** Where a decode request is. */
enum DecodePhase {
  /** First token or some KV handles are missing; holds nothing but blocks of this process. */
  AWAITING_INPUT,
  /** The same, with blocks for the prompt: what is announced is pulled at once. */
  RECEIVING,
  /** Waits in line for a place in the batch and for blocks for the prompt. */
  RESERVING,
  /** KV blocks are on their way. */
  PULLING,
  /** Gets a token in every step. */
  RUNNING,
  /** Waits for a place in the batch, its adapter, or the blocks that it gave to an older answer. */
  PAUSED,
  /** Over; holds nothing but blocks that a pull is still writing. */
  ENDED;

  boolean mayBecome(DecodePhase next) {
    return switch (next) {
      case AWAITING_INPUT -> false;
      case RECEIVING, RESERVING -> this == AWAITING_INPUT;
      case PULLING -> this == RESERVING;
      // Straight from AWAITING_INPUT when the blocks are of this process.
      case RUNNING ->
          this == AWAITING_INPUT || this == RECEIVING || this == PULLING || this == PAUSED;
      case PAUSED ->
          this == AWAITING_INPUT || this == RECEIVING || this == PULLING || this == RUNNING;
      case ENDED -> this != ENDED;
    };
  }
}
