package io.epidote.prefill;

/**
 * Where a prefill request is. KV blocks are taken last, when nothing else is waited for: whoever
 * holds KV blocks can always go on.
 */
enum PrefillPhase {
  /** Not every media span has been announced. */
  AWAITING_MEDIA,
  /** Waits in line for blocks to pull media tokens into. */
  RESERVING_MEDIA,
  /** Media tokens are on their way. */
  PULLING,
  /** Waits in line for KV blocks. */
  RESERVING_KV,
  /** Its prompt is being run. */
  RUNNING,
  /** The prompt is done; waits for the release of the KV blocks. */
  LEASED,
  /** Over; holds nothing but what a pull is still writing or reading. */
  ENDED;

  boolean mayBecome(PrefillPhase next) {
    return switch (next) {
      case AWAITING_MEDIA -> false;
      case RESERVING_MEDIA -> this == AWAITING_MEDIA;
      case PULLING -> this == RESERVING_MEDIA;
      // Straight from AWAITING_MEDIA when all media tokens are of this process, or there are none.
      case RESERVING_KV -> this == AWAITING_MEDIA || this == PULLING;
      case RUNNING -> this == RESERVING_KV;
      case LEASED -> this == RUNNING;
      case ENDED -> this != ENDED;
    };
  }
}
