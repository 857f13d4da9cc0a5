package io.epidote.node.transfer;

import io.epidote.engine.error.EpidoteException;

/** How a pull ended. From then on nothing is written into its destinations. */
public sealed interface PullEnd {
  /**
   * All bytes arrived and were verified.
   *
   * @param bytes behind the handle
   * @param moved of them, on the wire
   */
  record Pulled(long bytes, long moved, long nanos) implements PullEnd {}

  /** The destinations hold nothing of use. */
  record Failed(EpidoteException error) implements PullEnd {}

  /** The consumer gave up. */
  record Cancelled() implements PullEnd {}
}
