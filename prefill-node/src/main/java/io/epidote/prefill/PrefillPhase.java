package io.epidote.prefill;

/**
 * Where a prefill request is. There are two ways to {@link #RUNNING}. The short one takes KV blocks
 * at once and lets tiles come one after the other ({@link #STREAMING}). Where that could end in
 * requests that wait for each other, the long one takes them last, when nothing else is waited for.
 */
enum PrefillPhase {
  /** Not every media span has been announced; holds nothing. */
  AWAITING_MEDIA,
  /** Waits in line for blocks to pull all media tokens into. */
  RESERVING_MEDIA,
  /** Media tokens are on their way. */
  PULLING,
  /** Has all media tokens and waits in line for KV blocks. */
  RESERVING_KV,
  /** Has KV blocks; is run as far as its media tokens are here. */
  STREAMING,
  /** Its prompt is being run. */
  RUNNING,
  /** The prompt is done; waits for the release of the KV blocks. */
  LEASED,
  /** Over; holds nothing but what a pull is still writing or reading. */
  ENDED;

  boolean mayBecome(PrefillPhase next) {
    return switch (next) {
      case AWAITING_MEDIA -> false;
      case RESERVING_MEDIA, STREAMING -> this == AWAITING_MEDIA;
      case PULLING -> this == RESERVING_MEDIA;
      // Straight from AWAITING_MEDIA when all media tokens are of this process, or there are none.
      case RESERVING_KV -> this == AWAITING_MEDIA || this == PULLING;
      case RUNNING -> this == RESERVING_KV || this == STREAMING;
      case LEASED -> this == RUNNING;
      case ENDED -> this != ENDED;
    };
  }
}
