package io.epidote.node.transfer;

/**
 * The link into an emulated device, which gives one pull after the other all of its bandwidth, in
 * the order in which they were asked for. What is really moved comes over the machine's own
 * sockets; it is said to have arrived when the link would have brought it. Thread-safe.
 */
public final class EmulatedLink {
  private final TransferOptions.Pace pace;

  /** When the link has brought all that was asked for. */
  private long freeAt;

  /**
   * @param now of a clock in nanoseconds
   */
  public EmulatedLink(TransferOptions.Pace pace, long now) {
    this.pace = pace;
    this.freeAt = now;
  }

  /**
   * When the last of these bytes is there, if they are asked for now.
   *
   * @param bytes on the wire
   */
  public synchronized long ask(long bytes, long now) {
    long first = Math.max(now + pace.latencyNanos(), freeAt);
    freeAt = first + Math.round(bytes / pace.bytesPerSecond() * 1e9);
    return freeAt;
  }
}
